import asyncio
import gc
import signal
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from inference.server import hooks
from tests.processes import Web


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


@pytest.mark.timeout(600)  # the first test that needs a server waits for its start
def test_a_burst_of_connections_waits_in_the_kernel_until_they_are_accepted(strict: Web) -> None:
    """Beyond the listening queue a handshake is dropped, and repeated after a second, then after two more."""
    strict.pause()
    try:
        with ExitStack() as opened:
            for _ in range(200):
                opened.enter_context(socket.create_connection(("127.0.0.1", strict.port), timeout=0.9))
    finally:
        strict.resume()
    strict.wait_until_answers("/health/ready")
