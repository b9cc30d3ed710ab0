"""A thread that does something with the database again and again."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, connections

logger = logging.getLogger(__name__)

STOP_S = 2.0


class DatabaseThread:
    """Calls ``step`` at intervals and when it is told to stop, with a connection of its own.

    Args:
        failing: what to log when ``step`` fails; once, until it works again.
    """

    def __init__(self, name: str, interval_s: float, step: Callable[[], None], failing: Callable[[], str]) -> None:
        self._interval_s = interval_s
        self._step = step
        self._failing = failing
        self._fails_since: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def tell_to_stop(self) -> None:
        self._stopping.set()

    async def stop(self) -> None:
        """End the thread, unless the database takes too long."""
        self.tell_to_stop()
        give_up_at = time.monotonic() + STOP_S
        while self._thread.is_alive() and time.monotonic() < give_up_at:  # noqa: ASYNC110 - as in the request log
            await asyncio.sleep(0.01)

    def _run(self) -> None:
        self.attempt()
        while not self._stopping.wait(self._interval_s):
            self.attempt()
        self.attempt()
        connections.close_all()

    def attempt(self) -> None:
        try:
            self._step()
        except Exception as error:  # the thread must survive any error
            connections.close_all()  # of this thread; a failed one is not used again
            self._report(error)
        else:
            if self._fails_since is not None:
                logger.warning("The database is in order again after %.1f s", time.monotonic() - self._fails_since)
                self._fails_since = None

    def _report(self, error: Exception) -> None:
        if self._fails_since is None:
            self._fails_since = time.monotonic()
            unexpected = None if isinstance(error, DatabaseError) else error
            logger.error("%s (%s: %s)", self._failing(), type(error).__name__, error, exc_info=unexpected)
