import asyncio
from types import SimpleNamespace

import pytest

from inference.api.dialects.native.http import NativeEndpoint
from inference.errors import Overloaded
from inference.server import refusals
from tests.scheduling.test_admission import Queue


@pytest.mark.parametrize(
    ("header", "refused"), [("10", True), ("20", False), ("", False), ("soon", False), ("0", False)]
)
async def test_the_requests_own_deadline_counts_on_arrival(
    monkeypatch: pytest.MonkeyPatch, header: str, refused: bool
) -> None:
    """Ten seconds of work wait. A deadline that cannot be read is told by the application."""
    queue = Queue()
    queue.fill(100)
    service = SimpleNamespace(admission=queue.admission, conf=queue.admission._conf, loop=asyncio.get_running_loop())
    endpoint = NativeEndpoint()
    monkeypatch.setattr("inference.serving.current_service.get", lambda: service)

    assert refusals.would_refuse("hog", 0, endpoint, header) == refused
    assert (
        isinstance(refusals.refusal_after(0.0, "hog", 0, endpoint, header) if refused else None, Overloaded) == refused
    )
