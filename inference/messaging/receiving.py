"""Reading a channel for as long as the process runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from inference.messaging.layer import RETRY_FIRST_S, RETRY_LAST_S, ChannelLayer, in_memory
from inference.messaging.layer_health import LayerHealth

logger = logging.getLogger(__name__)

RECEIVE_AGAIN_S = 3.0
"""In memory, a receive without a message for this long is begun anew: if the event loop stood still for longer than
the layer's expiry, the layer may have dropped the queue on which the receiver waits."""


async def receive_forever(
    layer: ChannelLayer, channel: str, take: Callable[[dict[str, Any]], Any], health: LayerHealth
) -> None:
    """Pass every message on ``channel`` to ``take``; if the layer fails, try again with growing pauses.

    ``take`` may be a coroutine function. What it raises is logged: one message never ends the reader.
    """
    pause_s = 0.0
    while True:
        try:
            async with asyncio.timeout(RECEIVE_AGAIN_S if in_memory(layer) else None) as receiving:
                message = await layer.receive(channel)
        except Exception as error:
            if receiving.expired():
                continue
            health.failed("receiving", error)
            pause_s = min(max(RETRY_FIRST_S, pause_s * 2), RETRY_LAST_S)
            await asyncio.sleep(pause_s)
            continue
        pause_s = 0.0
        health.works()
        try:
            result = take(message)
            if isinstance(result, Awaitable):
                await result
        except Exception:
            logger.exception("A message could not be handled")
