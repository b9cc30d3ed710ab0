"""``runworker inference``: a worker in a process of its own."""

from typing import Any, cast

from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.management.commands.runworker import Command as ChannelsCommand
from django.core.management import CommandError

from inference.backends.base import LoadFailed
from inference.messaging.layer import ChannelLayer
from inference.messaging.messages import ROUTE
from inference.process import worker


class Command(ChannelsCommand):
    """Channels' command, with one channel name of ours: ``inference``. Other names run Channels' own worker."""

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
                "A worker process needs a channel layer that reaches other processes: set REDIS_URL, or name "
                "channels_redis in CHANNEL_LAYERS. Without one the worker runs inside the web process."
            )
        try:
            worker.run(cast("ChannelLayer", layer))
        except LoadFailed as error:
            raise CommandError(f"Cannot serve: {error}") from error
