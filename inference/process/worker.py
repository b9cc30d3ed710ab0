"""A worker process: how signals drain it, and with which code it ends."""

import asyncio
import logging
import os
import signal
from typing import NoReturn

from inference import conf
from inference.backends.loading import load
from inference.messaging.layer import ChannelLayer
from inference.worker.watchdog import ModelHangs
from inference.worker.worker import InferenceWorker

logger = logging.getLogger(__name__)


def run(layer: ChannelLayer) -> NoReturn:
    """Serve, then end the process: with code 0 after a signal, with 1 if the model hangs.

    Raises:
        LoadFailed: the pipeline cannot be served.
    """
    code = asyncio.run(_serve(layer))
    logging.shutdown()
    os._exit(code)  # a normal exit would wait for libraries whose threads a hanging model may hold


async def _serve(layer: ChannelLayer) -> int:
    configuration = conf.current()
    worker = InferenceWorker(layer, configuration, load)
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []

    def stop(signum: int) -> None:
        """The first signal drains a worker that was ready; any other ends the process at once."""
        if draining or not worker.was_ready:
            os._exit(128 + signum if draining else 0)
        draining.append(loop.create_task(worker.drain(configuration.drain_s)))

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop, signum)
    try:
        await worker.arun()
    except ModelHangs as error:
        logger.critical("Worker %s ends with code 1, so that its supervisor starts another: %s", worker.id, error)
        return 1
    return 0
