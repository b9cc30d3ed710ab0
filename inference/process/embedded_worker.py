"""The worker of embedded mode, on the web process's event loop."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from inference.backends.base import LoadFailed
from inference.backends.loading import load
from inference.conf import Conf
from inference.messaging.layer import ChannelLayer
from inference.worker import executors
from inference.worker.watchdog import DeviceLost, ModelHangs
from inference.worker.worker import InferenceWorker

logger = logging.getLogger(__name__)

RESTART_FIRST_S, RESTART_LAST_S = 1.0, 30.0
STEADY_S = 60.0
"""A worker that was ready for longer is restarted after the first pause again."""
END_S = 1.0
"""How long a drained worker may take to end its tasks, and then its threads."""


class EmbeddedWorker:
    """Runs a worker, and a new one when that ends by itself.

    Args:
        on_fatal: called with one sentence when no worker can serve: the pipeline cannot be loaded, or the device is
            lost to this process.
    """

    def __init__(self, layer: ChannelLayer, conf: Conf, on_fatal: Callable[[str], None]) -> None:
        self._layer = layer
        self._conf = conf
        self._on_fatal = on_fatal
        self._worker: InferenceWorker | None = None
        self._supervisor: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._supervisor = asyncio.get_running_loop().create_task(self.supervise())

    async def drain(self, timeout_s: float) -> None:
        """Let the worker finish its jobs, then end it and its threads."""
        if self._worker is not None:
            await self._worker.drain(timeout_s)
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor], timeout=END_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                while self._worker and executors.running(self._worker.id):  # noqa: ASYNC110 - threads set no event
                    await asyncio.sleep(END_S / 100)

    async def supervise(self) -> None:
        """Run workers one after the other until one was drained or none can serve."""
        pause_s = RESTART_FIRST_S
        while True:
            worker = self._worker = InferenceWorker(self._layer, self._conf, load)
            try:
                await worker.arun()
            except Exception as error:
                if isinstance(error, DeviceLost) or not worker.was_ready:
                    self._on_fatal(_sentence(error))
                    return
                if worker.ready_s > STEADY_S:
                    pause_s = RESTART_FIRST_S
                if isinstance(error, ModelHangs):
                    logger.critical("A new worker starts in %g s: %s", pause_s, error)
                else:
                    logger.exception("The worker ended; a new one starts in %g s", pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RESTART_LAST_S)
            else:
                return


def _sentence(error: Exception) -> str:
    if isinstance(error, LoadFailed | DeviceLost):
        return str(error)
    logger.error("Loading failed", exc_info=error)
    return f"The model could not be loaded: {error!r}"
