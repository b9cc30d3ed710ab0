"""SIGTERM and SIGINT: answer what was accepted first, then let the server stop as it does without us."""

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def drain_first(drain: Callable[[], Awaitable[object]]) -> "Handler | None":
    """Drain on the first signal; then, or with the second signal, the handlers that are there now get it.

    Signals that are ignored stay so. ``None`` outside the main thread, which has no signals.

    Args:
        drain: awaited on the running loop. What it raises is logged.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    handler = Handler(drain, asyncio.get_running_loop())
    handler.install()
    return handler


class Handler:
    """Of the signals of a server."""

    def __init__(self, drain: Callable[[], Awaitable[object]], loop: asyncio.AbstractEventLoop) -> None:
        self._drain = drain
        self._loop = loop
        self._replaced: dict[signal.Signals, Any] = {}
        self._begun = False
        self._passed_on = False
        self._draining: asyncio.Task[None] | None = None  # an event loop has only weak references to its tasks

    def install(self) -> None:
        for signum in SIGNALS:
            handler = signal.getsignal(signum)
            if handler not in (signal.SIG_IGN, None):
                self._replaced[signum] = handler
                signal.signal(signum, self._handle)

    def remove(self) -> None:
        """Put the handlers back, except in the place of others that have come since."""
        for signum, handler in self._replaced.items():
            if signal.getsignal(signum) == self._handle:
                signal.signal(signum, handler)

    def _handle(self, signum: int, _frame: object) -> None:
        if self._begun or self._loop.is_closed():
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
        if not self._passed_on:
            self._pass_on(signum)

    def _pass_on(self, signum: int) -> None:
        """Repeat the signal for the handlers that were there before."""
        self._passed_on = True
        self.remove()
        signal.raise_signal(signum)
