import asyncio
from types import SimpleNamespace

import pytest

from inference.errors import Overloaded
from inferencesite import refusals
from tests.test_admission import Queue

CLIENT = SimpleNamespace(host="hog", port=0)


@pytest.mark.parametrize(
    ("header", "refused"), [("10", True), ("20", False), (None, False), ("soon", False), ("0", False)]
)
async def test_the_requests_own_deadline_counts_at_the_door(
    monkeypatch: pytest.MonkeyPatch, header: str | None, refused: bool
) -> None:
    """Ten seconds of work wait. A deadline that cannot be read is told by the application."""
    queue = Queue()
    queue.fill(100)
    service = SimpleNamespace(admission=queue.admission)
    process = SimpleNamespace(service=service, conf=queue.admission._conf, loop=asyncio.get_running_loop())
    monkeypatch.setattr("inference.lifecycle.current", lambda: process)

    error = refusals.at_the_door(CLIENT, header)

    assert isinstance(error, Overloaded) == refused
