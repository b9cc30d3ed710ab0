"""A worker process: how signals drain it, and with which code it ends."""

import asyncio
import logging
import os
import signal
from typing import NoReturn

from inference import conf
from inference.backends.loading import load
from inference.catalog import Catalog
from inference.messaging.layer import ChannelLayer
from inference.worker.host import WorkerHost
from inference.worker.watchdog import ModelHangs

logger = logging.getLogger(__name__)


def run(layer: ChannelLayer, pipelines: Catalog) -> NoReturn:
    """Serve, then end the process: with code 0 after a signal, with 1 if the model hangs.

    Raises:
        LoadFailed: the only pipeline cannot be served.
    """
    code = asyncio.run(_serve(layer, pipelines))
    logging.shutdown()
    os._exit(code)  # a normal exit would wait for libraries whose threads a hanging model may hold


async def _serve(layer: ChannelLayer, pipelines: Catalog) -> int:
    configuration = conf.current()
    host = WorkerHost(layer, configuration, pipelines, load)
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []

    def stop(signum: int) -> None:
        """The first signal drains a host that was ready; any other ends the process at once."""
        if draining or not host.was_ready:
            os._exit(128 + signum if draining else 0)
        draining.append(loop.create_task(host.drain(configuration.drain_s)))

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop, signum)
    try:
        await host.arun()
    except ModelHangs as error:
        logger.critical("Worker host %s ends with code 1, so that its supervisor starts another: %s", host.id, error)
        return 1
    return 0
