"""A web process on a thread of its own, for code that has no event loop, or one that does not last."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

from inference.process import web
from inference.process.web import WebProcess

STOP_S = 10.0


class WebProcessThread:
    """Args as those of ``WebProcess``."""

    def __init__(self, on_fatal: Callable[[str], None], *, log_requests: bool = True) -> None:
        self._on_fatal = on_fatal
        self._log_requests = log_requests
        self._started: Future[WebProcess] = Future()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> WebProcess:
        """Wait until it has started. Raises whatever starting raises."""
        self._thread.start()
        return self._started.result()

    def drain(self) -> None:
        """As Python ends: answer what was accepted and write the log. The thread goes on."""
        process = self._started.result()
        asyncio.run_coroutine_threadsafe(process.drain(), process.loop).result(STOP_S)

    def stop(self) -> None:
        """Drain, forget the process, and end the thread."""
        process = self._started.result()
        asyncio.run_coroutine_threadsafe(web.stop(), process.loop).result(STOP_S + process.conf.drain_s)
        process.loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._started.set_result(web.start(self._on_fatal, log_requests=self._log_requests))
        await self._stopped.wait()
