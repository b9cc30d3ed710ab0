import asyncio
import gc
import signal
from typing import Any

import pytest

from inference.server import hooks


async def test_the_task_that_drains_is_kept(monkeypatch: pytest.MonkeyPatch):
    """An event loop has only weak references to its tasks."""
    handlers: dict[int, Any] = {}
    began, ended = asyncio.Event(), []

    async def drain() -> None:
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)

    monkeypatch.setattr("signal.signal", handlers.__setitem__)
    hooks._handle_signals(asyncio.get_running_loop(), drain)
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    await began.wait()
    gc.collect()
    assert not ended
