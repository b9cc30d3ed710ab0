"""For pytest: ``pytest_plugins = ["inference.testing.pytest_plugin"]`` in the ``conftest.py`` beside ``manage.py``."""

from collections.abc import Iterator
from typing import Any

import pytest

from inference.testing.fake_pipeline import FakePipeline
from inference.testing.running import running


@pytest.fixture
def fake_pipeline(request: pytest.FixtureRequest) -> Iterator[FakePipeline]:
    """A fake pipeline that runs during the test.

    Indirect parameters are the arguments of ``FakePipeline``:
    ``@pytest.mark.parametrize("fake_pipeline", [{"task": "text-generation"}], indirect=True)``.
    """
    options: dict[str, Any] = getattr(request, "param", {})
    with running(FakePipeline(**options)) as fake:
        yield fake
