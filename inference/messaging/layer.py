"""The channel layer: the part of its interface that this project uses, and a single send."""

import asyncio
from typing import Any, Protocol, cast

from channels.layers import get_channel_layer

from inference import conf
from inference.messaging.codec import encode
from inference.messaging.messages import Message
from inference.messaging.previous_release import Status

SEND_TIMEOUT_S, LEAST_BYTES_PER_S = 2.0, 4_000_000
"""A frozen Redis must not hold a sender, but a large message may take as long as its size needs. Cancelling a send is
safe: redis-py drops the connection."""
RETRY_FIRST_S, RETRY_LAST_S = 0.05, 1.0
SEND_INTERVAL_S = 0.002
"""Least time between two envelopes to one receiver on a layer that costs round trips."""


class ChannelLayer(Protocol):
    """The part of Channels' layer interface that this project uses."""

    async def send(self, channel: str, message: dict[str, Any]) -> None: ...
    async def receive(self, channel: str) -> dict[str, Any]: ...
    async def group_add(self, group: str, channel: str) -> None: ...
    async def group_discard(self, group: str, channel: str) -> None: ...
    async def group_send(self, group: str, message: dict[str, Any]) -> None: ...


def configured(alias: str | None = None) -> ChannelLayer | None:
    """The layer of this alias, by default of ``INFERENCE_CHANNEL_LAYER``; ``None`` if there is none."""
    return cast("ChannelLayer | None", get_channel_layer(alias or conf.current().channel_layer))


async def send(layer: ChannelLayer, channel: str, message: Message | Status) -> None:
    """Send once.

    Raises:
        Exception: of the layer, ``TimeoutError`` among them. The message may have been delivered all the same.
    """
    encoded = encode(message)
    async with asyncio.timeout(SEND_TIMEOUT_S + len(encoded["body"]) // LEAST_BYTES_PER_S):
        await layer.send(channel, encoded)


def send_interval_of(layer: object) -> float:
    """Seconds between envelopes: none in memory, where a send costs no round trip."""
    return 0.0 if in_memory(layer) else SEND_INTERVAL_S


def in_memory(layer: object) -> bool:
    return type(layer).__name__ == "InMemoryChannelLayer"
