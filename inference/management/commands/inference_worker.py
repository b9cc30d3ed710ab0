"""``manage.py inference_worker``: a worker in a process of its own."""

from argparse import ArgumentParser
from typing import Any

from channels.layers import InMemoryChannelLayer
from django.core.management.base import BaseCommand, CommandError

from inference.backends.base import LoadFailed
from inference.messaging import layer
from inference.process import worker


class Command(BaseCommand):
    help = "Load the model and run batches for the web processes that share the channel layer."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--layer", help="alias in CHANNEL_LAYERS; default: INFERENCE_CHANNEL_LAYER")

    def handle(self, *_: Any, **options: Any) -> None:
        shared = layer.configured(options["layer"])
        if shared is None or isinstance(shared, InMemoryChannelLayer):
            raise CommandError(
                "A worker process needs a channel layer that reaches other processes: set REDIS_URL, or name "
                "channels_redis in CHANNEL_LAYERS. Without one the worker runs inside the web process."
            )
        try:
            worker.run(shared)
        except LoadFailed as error:
            raise CommandError(f"Cannot serve: {error}") from error
