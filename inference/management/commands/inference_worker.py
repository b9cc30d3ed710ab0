"""``manage.py inference_worker``: a worker in a process of its own."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from channels.layers import InMemoryChannelLayer
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from inference import catalog
from inference.backends.base import LoadFailed
from inference.messaging import layer
from inference.process import worker


def add_pipelines(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--pipeline",
        action="append",
        metavar="NAME",
        help="load this pipeline of the catalog only; may be given several times; default: all of them",
    )


class Command(BaseCommand):
    help = "Load the pipelines and run batches for the web processes that share the channel layer."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--layer", help="alias in CHANNEL_LAYERS; default: INFERENCE_CHANNEL_LAYER")
        add_pipelines(parser)
        parser.add_argument(
            "--ready-file", type=Path, metavar="PATH", help="a file that is there while it can serve, for probes"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        shared = layer.configured(options["layer"])
        if shared is None or isinstance(shared, InMemoryChannelLayer):
            raise CommandError(
                "A worker process needs a channel layer that reaches other processes: set REDIS_URL, or name "
                "channels_redis in CHANNEL_LAYERS. Without one the worker runs inside the web process."
            )
        try:
            pipelines = catalog.current()
            if options["pipeline"]:
                pipelines = pipelines.select(options["pipeline"])
            worker.run(shared, pipelines, options.get("ready_file"))
        except (LoadFailed, ImproperlyConfigured) as error:
            raise CommandError(f"Cannot serve: {error}") from error
