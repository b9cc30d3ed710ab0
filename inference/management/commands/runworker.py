"""``runworker inference``: what ``inference_worker`` does, by the command of Channels."""

from argparse import ArgumentParser
from typing import Any

from channels import DEFAULT_CHANNEL_LAYER
from channels.management.commands.runworker import Command as ChannelsCommand
from django.core.management import CommandError, call_command

from inference.management.commands.inference_worker import add_pipelines
from inference.messaging.messages import ROUTE


class Command(ChannelsCommand):
    """Channels' command, with one channel name of ours: ``inference``. Other names run Channels' own worker."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_pipelines(parser)
        parser.set_defaults(layer=None)

    def handle(self, *args: Any, **options: Any) -> None:
        channels = set(options["channels"])
        if ROUTE not in channels:
            super().handle(*args, **options | {"layer": options["layer"] or DEFAULT_CHANNEL_LAYER})
            return
        if len(channels) > 1:
            others = " ".join(sorted(channels - {ROUTE}))
            raise CommandError(
                f"A worker of '{ROUTE}' has no other channels; run `runworker {ROUTE}` and `runworker {others}`, "
                "each in a process of its own."
            )
        call_command("inference_worker", layer=options["layer"], pipeline=options["pipeline"])
