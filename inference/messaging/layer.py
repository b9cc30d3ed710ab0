"""What one process says to another through the channel layer: one queue, one send at a time, in envelopes."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from inference.messaging.messages import (
    ENVELOPE_BYTES,
    Message,
    encode,
)

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 2.0
"""A frozen Redis must not hold a sender; cancelling a send is safe, redis-py drops that connection."""
RETRY_FIRST_S, RETRY_LAST_S = 0.05, 1.0
SEND_INTERVAL_S = 0.002
"""Least time between two envelopes to one receiver on a layer that costs round trips."""
SETTLED_S = 1.0
"""Time without a failure after which the layer works again, as far as the log is concerned."""
CANCEL_AGAIN_S = 0.1
LISTEN_AGAIN_S = 3.0
"""In memory, a receiver that has heard nothing for so long listens anew. After the event loop stood still for longer
than the layer's expiry, the layer may have dropped the queue that it waits on."""
ENTRY_BYTES = 200
"""Of an entry besides its text, roughly."""

T = TypeVar("T")


class ChannelLayer(Protocol):
    """The part of Channels' layer interface that this project uses."""

    async def send(self, channel: str, message: dict[str, Any]) -> None: ...
    async def receive(self, channel: str) -> dict[str, Any]: ...
    async def group_add(self, group: str, channel: str) -> None: ...
    async def group_discard(self, group: str, channel: str) -> None: ...
    async def group_send(self, group: str, message: dict[str, Any]) -> None: ...


async def send(layer: ChannelLayer, channel: str, message: Message) -> None:
    """Send once.

    Raises:
        Exception: of the layer, ``TimeoutError`` among them. The message may have been delivered all the same.
    """
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await layer.send(channel, encode(message))


def send_interval_of(layer: object) -> float:
    """Seconds between envelopes; in memory there is nothing to pace."""
    return 0.0 if _in_memory(layer) else SEND_INTERVAL_S


def _in_memory(layer: object) -> bool:
    return type(layer).__name__ == "InMemoryChannelLayer"


async def end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel tasks that may be sending, again and again until they have ended.

    Once is not enough: ``wait_for`` of Python 3.11, with which redis-py sends, swallows a cancellation that comes
    just when a send is done (https://github.com/python/cpython/issues/86296).
    """
    pending = all_of_them = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*all_of_them, return_exceptions=True)


class LayerHealth:
    """Tells the log when the channel layer begins to fail and when it works again; between them, nothing."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._began: float | None = None
        self._last = 0.0

    def failed(self, how: str) -> None:
        self._last = self._clock()
        if self._began is None:
            self._began = self._last
            logger.warning("The channel layer fails (%s); what is under way waits for it", how)

    def works(self) -> None:
        """Something went through. One that fails in part is not reported again and again."""
        if self._began is not None and self._clock() - self._last >= SETTLED_S:
            logger.warning("The channel layer works again, %.1f s after it failed", self._clock() - self._began)
            self._began = None


async def receive_forever(
    layer: ChannelLayer, channel: str, take: Callable[[dict[str, Any]], Any], health: LayerHealth
) -> None:
    """Give every message on ``channel`` to ``take``; survive a layer that fails, with back-off.

    ``take`` may be a coroutine function. What it raises is logged: one message never ends the reader.
    """
    pause_s = 0.0
    while True:
        try:
            async with asyncio.timeout(LISTEN_AGAIN_S if _in_memory(layer) else None) as listening:
                message = await layer.receive(channel)
        except Exception as error:
            if listening.expired():
                continue
            health.failed(f"receiving: {error!r}")
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


def pack(queue: "deque[T]", size_of: Callable[[T], int]) -> list[T]:
    """Take from the head of ``queue`` what fits into one envelope; a larger entry travels alone."""
    packed: list[T] = []
    size = 0
    while queue:
        size += ENTRY_BYTES + size_of(queue[0])
        if packed and size > ENVELOPE_BYTES:
            break
        packed.append(queue.popleft())
    return packed
