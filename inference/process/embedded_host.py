"""The worker host of embedded mode, on the web process's event loop."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from inference.backends.base import LoadFailed
from inference.backends.loading import load
from inference.catalog import Catalog
from inference.conf import Conf
from inference.messaging.layer import ChannelLayer
from inference.worker import executors
from inference.worker.host import WorkerHost
from inference.worker.watchdog import DeviceLost, ModelHangs

logger = logging.getLogger(__name__)

RESTART_FIRST_S, RESTART_LAST_S = 1.0, 30.0
STEADY_S = 60.0
"""A worker that was ready for longer is restarted after the first pause again."""
END_S = 1.0
"""How long a drained worker may take to end its tasks, and then its threads."""
FREE_S = 30.0
"""How long the next host waits for the threads of one that an operator drained, the last of which frees its memory."""


class EmbeddedHost:
    """Runs a worker host, and a new one when that ends by itself or an operator has drained it.

    Args:
        on_fatal: called with one sentence when nothing can be served: the only pipeline cannot be loaded, or the
            device is lost to this process.
    """

    def __init__(self, layer: ChannelLayer, conf: Conf, catalog: Catalog, on_fatal: Callable[[str], None]) -> None:
        self._layer = layer
        self._conf = conf
        self._catalog = catalog
        self._on_fatal = on_fatal
        self._host: WorkerHost | None = None
        self._supervisor: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._supervisor = asyncio.get_running_loop().create_task(self.supervise())

    async def drain(self, timeout_s: float) -> None:
        """Let the host finish its jobs, then end it and its threads."""
        if self._host is not None:
            await self._host.drain(timeout_s)
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor], timeout=END_S)
        if self._host is not None:
            await _threads_end(self._host, END_S)

    async def supervise(self) -> None:
        """Run hosts one after the other until the process stops or none can serve."""
        pause_s = RESTART_FIRST_S
        while True:
            host = self._host = WorkerHost(self._layer, self._conf, self._catalog, load)
            try:
                await host.arun()
            except Exception as error:
                if isinstance(error, DeviceLost) or not host.was_ready:
                    self._on_fatal(_sentence(error))
                    return
                if host.ready_s > STEADY_S:
                    pause_s = RESTART_FIRST_S
                if isinstance(error, ModelHangs):
                    logger.critical("A new worker host starts in %g s: %s", pause_s, error)
                else:
                    logger.exception("The worker host ended; a new one starts in %g s", pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RESTART_LAST_S)
            else:
                if not host.is_replaced:
                    return
                await _threads_end(host, FREE_S)


async def _threads_end(host: WorkerHost, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while executors.running(host.id):  # noqa: ASYNC110 - threads set no event
                await asyncio.sleep(END_S / 100)


def _sentence(error: Exception) -> str:
    if isinstance(error, LoadFailed | DeviceLost):
        return str(error)
    logger.error("Loading failed", exc_info=error)
    return f"The model could not be loaded: {error!r}"
