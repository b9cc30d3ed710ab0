"""``runworker inference``: a worker in a process of its own."""

import asyncio
import logging
import os
import signal
from typing import Any

from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.management.commands.runworker import Command as ChannelsCommand
from django.core.management import CommandError

from inference import conf
from inference.backends.transformers import backend
from inference.messaging.messages import ROUTE
from inference.worker.watchdog import ModelHangs
from inference.worker.worker import InferenceWorker

logger = logging.getLogger(__name__)


class Command(ChannelsCommand):
    """Channels' command, for one channel name of ours: ``inference``. Other names run Channels' own worker."""

    help = "Load the model and run batches for the web processes that share the channel layer."

    def handle(self, *args: Any, **options: Any) -> None:
        channels = set(options["channels"])
        if ROUTE not in channels:
            super().handle(*args, **options)
            return
        if len(channels) > 1:
            others = " ".join(sorted(channels - {ROUTE}))
            raise CommandError(
                f"A worker of '{ROUTE}' has no other channels; run `runworker {ROUTE}` and `runworker {others}`, "
                "each in a process of its own."
            )
        layer = get_channel_layer(options["layer"])
        if layer is None or isinstance(layer, InMemoryChannelLayer):
            raise CommandError(
                "A worker process needs a channel layer that reaches other processes: set REDIS_URL. "
                "Without it the worker runs inside the web process."
            )
        try:
            code = asyncio.run(_serve(layer))
        except backend.LoadFailed as error:
            raise CommandError(f"Cannot serve: {error}") from error
        # A model thread that hangs must not hold the process.
        logging.shutdown()
        os._exit(code)


async def _serve(layer: Any) -> int:
    configuration = conf.current()
    worker = InferenceWorker(layer, configuration, backend.load)
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []

    def stop(signum: int) -> None:
        if draining or not worker.was_ready:
            os._exit(0 if not draining else 128 + signum)
        draining.append(loop.create_task(worker.drain(configuration.drain_s)))

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop, signum)
    try:
        await worker.arun()
    except ModelHangs as error:
        logger.critical("Worker %s ends, so that another can be started: %s", worker.id, error)
        return 1
    return 0
