from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backends.transformers.running import Make


@pytest.fixture(scope="session")
def models() -> Any:
    from tests import tiny_models  # noqa: PLC0415 - imports torch

    return tiny_models


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Make], Path]:
    """The folder of a tiny model, made once; not to be changed."""
    made: dict[str, Path] = {}

    def folder(make: Make) -> Path:
        name = f"{make.__module__}.{make.__name__}"
        if name not in made:
            made[name] = make(tmp_path_factory.mktemp("models") / make.__name__)
        return made[name]

    return folder
