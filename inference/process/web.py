"""The life of one web process: what it starts, and in which order it stops."""

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from channels.layers import InMemoryChannelLayer, get_channel_layer

from inference import checks, conf
from inference.backends.transformers import backend
from inference.messaging.layer import ChannelLayer
from inference.request_log.writer import RequestLog
from inference.scheduling.dispatcher import Dispatcher
from inference.serving import service as serving
from inference.serving.service import Service
from inference.worker.watchdog import DeviceLost, ModelHangs
from inference.worker.worker import InferenceWorker

logger = logging.getLogger(__name__)
server_logger = logging.getLogger("inference.server")

T = TypeVar("T")
RESTART_FIRST_S, RESTART_LAST_S = 1.0, 30.0
STEADY_S = 60.0
"""After so long, the end of a worker has nothing to do with that of the one before it."""


class WebProcess:
    """Dispatcher, service, request log and, with the in-memory layer, a worker: all on one event loop.

    Args:
        on_fatal: called with one sentence when the process cannot serve.
    """

    def __init__(self, on_fatal: Callable[[str], None]) -> None:
        layer = cast("ChannelLayer", get_channel_layer())
        self.conf = conf.current()
        self.loop = asyncio.get_running_loop()
        self.dispatcher = Dispatcher(layer)
        self._embedded = isinstance(layer, InMemoryChannelLayer)
        self._request_log = RequestLog()
        self.service = Service(self.conf, self.dispatcher, self._request_log, embedded=self._embedded)
        self._on_fatal = on_fatal
        self._layer = layer
        self._worker: InferenceWorker | None = None
        self._supervisor: asyncio.Task[None] | None = None

    def start(self) -> None:
        for found in checks.run():
            if found.is_serious():
                self._on_fatal(str(found.msg))
            logger.warning("%s %s", found.msg, found.hint or "")
        self._request_log.start()
        self.dispatcher.start()
        if self._embedded:
            self._supervisor = self.loop.create_task(self._keep_worker())

    async def drain(self, close_connections: Callable[[], Awaitable[None]] | None = None) -> None:
        """Answer what was accepted, stop the worker, write the log.

        ``close_connections`` ends the server's connections before the log is written, which then has what was
        refused meanwhile.
        """
        logger.info(
            "Stopping: new requests are refused, %d inputs are answered first", self.service.admission.pending_inputs
        )
        await self.service.drain(self.conf.drain_s)
        if self._worker is not None:
            await self._worker.drain(timeout_s=1)
        if self._supervisor is not None:
            self._supervisor.cancel()
        if close_connections is not None:
            await close_connections()
        await self._request_log.stop()
        await self.dispatcher.stop()
        logger.info("Stopped")

    async def _keep_worker(self) -> None:
        """Run the embedded worker. One that was ready is started again; one that cannot load ends the process, and so
        does one whose device is lost: whatever this process did with it would fail.
        """
        pause_s = RESTART_FIRST_S
        while True:
            self._worker = InferenceWorker(self._layer, self.conf, backend.load)
            try:
                await self._worker.arun()
            except Exception as error:
                if isinstance(error, DeviceLost) or not self._worker.was_ready:
                    self._on_fatal(_sentence(error))
                    return
                if self._worker.ready_s > STEADY_S:
                    pause_s = RESTART_FIRST_S
                if isinstance(error, ModelHangs):
                    logger.critical("A new worker takes the place of the old one in %g s: %s", pause_s, error)
                else:
                    logger.exception("The worker ended; a new one starts in %g s", pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RESTART_LAST_S)
            else:
                return  # drained


def _sentence(error: Exception) -> str:
    if not isinstance(error, (backend.LoadFailed, DeviceLost)):
        logger.error("Loading failed", exc_info=error)
        return f"The model could not be loaded: {error!r}"
    return str(error)


def die(sentence: str) -> None:
    """End the process at once: it cannot serve, and a supervisor or a person must know why."""
    server_logger.critical("Cannot serve: %s", sentence)
    os._exit(1)


_current: WebProcess | None = None
_starting = threading.Lock()


def current() -> WebProcess | None:
    return _current


def start(on_fatal: Callable[[str], None]) -> WebProcess:
    """The process's one ``WebProcess``, started on the running loop if there is none yet."""
    global _current
    with _starting:
        if _current is None:
            process = WebProcess(on_fatal)
            process.start()
            _current = process
            serving.use(process.service)
        return _current
