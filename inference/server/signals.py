"""SIGTERM and SIGINT: answer what was accepted first, then let the server stop as it does without us."""

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def drain_first(drain: Callable[[], Awaitable[object]]) -> None:
    """Drain on the first signal; then, or with the second signal, the handlers that are there now get it.

    No effect outside the main thread, and for signals that are ignored.

    Args:
        drain: awaited on the running loop. What it raises is logged.
    """
    if threading.current_thread() is threading.main_thread():
        _Handler(drain, asyncio.get_running_loop()).install()


class _Handler:
    def __init__(self, drain: Callable[[], Awaitable[object]], loop: asyncio.AbstractEventLoop) -> None:
        self._drain = drain
        self._loop = loop
        self._replaced: dict[signal.Signals, Any] = {}
        self._begun = False
        self._draining: asyncio.Task[None] | None = None  # an event loop has only weak references to its tasks

    def install(self) -> None:
        for signum in SIGNALS:
            handler = signal.getsignal(signum)
            if handler not in (signal.SIG_IGN, None):
                self._replaced[signum] = handler
                signal.signal(signum, self._handle)

    def _handle(self, signum: int, _frame: object) -> None:
        if self._begun:
            self._pass_on(signum)
        else:
            self._begun = True
            self._loop.call_soon_threadsafe(self._begin, signum)

    def _begin(self, signum: int) -> None:
        self._draining = self._loop.create_task(self._drain_and_pass_on(signum))

    async def _drain_and_pass_on(self, signum: int) -> None:
        try:
            await self._drain()
        except Exception:
            logger.exception("Draining failed")
        self._pass_on(signum)

    def _pass_on(self, signum: int) -> None:
        """Put the handlers back and repeat the signal, once."""
        if self._replaced:
            for each, handler in self._replaced.items():
                signal.signal(each, handler)
            self._replaced.clear()
            signal.raise_signal(signum)
