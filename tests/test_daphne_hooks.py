import asyncio
import gc
import signal
from typing import Any

import pytest

from inferencesite import daphne_hooks


async def test_the_task_that_drains_is_kept(monkeypatch: pytest.MonkeyPatch):
    """An event loop has only weak references to its tasks."""
    handlers: dict[int, Any] = {}
    began, ended = asyncio.Event(), []

    async def drain(_: object) -> None:
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)

    monkeypatch.setattr("signal.signal", handlers.__setitem__)
    monkeypatch.setattr(daphne_hooks, "_drain_and_exit", drain)
    daphne_hooks._handle_signals(asyncio.get_running_loop(), None)
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    await began.wait()
    gc.collect()
    assert not ended
