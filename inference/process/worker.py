"""A worker process: how signals drain it, and with which code it ends."""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import NoReturn

from inference import conf
from inference.backends.loading import load
from inference.catalog import Catalog
from inference.messaging.cancellation import cancel_and_wait
from inference.messaging.layer import ChannelLayer
from inference.process import ready_file
from inference.worker.host import WorkerHost
from inference.worker.watchdog import ModelHangs

logger = logging.getLogger(__name__)


def run(layer: ChannelLayer, pipelines: Catalog, ready: Path | None = None) -> NoReturn:
    """Serve, then end the process: with code 0 after a signal, with 1 if the model hangs.

    Args:
        ready: a file that is there while it can serve.

    Raises:
        LoadFailed: the only pipeline cannot be served.
    """
    code = asyncio.run(_serve(layer, pipelines, ready))
    logging.shutdown()
    os._exit(code)  # a normal exit would wait for libraries whose threads a hanging model may hold


async def _serve(layer: ChannelLayer, pipelines: Catalog, ready: Path | None) -> int:
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
    showing = None if ready is None else asyncio.create_task(ready_file.keep(ready, lambda: host.is_ready))
    try:
        await host.arun()
    except ModelHangs as error:
        logger.critical("Worker host %s ends with code 1, so that its supervisor starts another: %s", host.id, error)
        return 1
    finally:
        if showing is not None:
            await cancel_and_wait([showing])
    return 0
