"""A value of each process that all processes of a deployment read: one hash in the Redis of the channel layer."""

import asyncio
from typing import Any

EXPIRY_S = 60
"""Of the hash, after the last process has written to it."""
TIMEOUT_S = 1.0


class SharedValues:
    """The hash ``name``, below the layer's prefix.

    Args:
        layer: that of ``channels_redis.core``, whose connection is used; see ``shareable``.
        member: this process's own field.
    """

    def __init__(self, layer: Any, name: str, member: str) -> None:
        self._layer = layer
        self._key: str = self._layer.prefix + name
        self._member = member

    async def exchange(self, value: bytes) -> dict[str, bytes]:
        """Write this process's value, and return all that there are; one round trip.

        Raises:
            Exception: of the layer's Redis client, ``TimeoutError`` among them. The value may have been written.
        """
        async with asyncio.timeout(TIMEOUT_S):
            pipeline = self._layer.connection(0).pipeline(transaction=False)
            pipeline.hset(self._key, self._member, value)
            pipeline.expire(self._key, EXPIRY_S)
            pipeline.hgetall(self._key)
            *_, found = await pipeline.execute()
        return {member.decode(): bytes(value) for member, value in found.items()}

    async def remove(self, *members: str) -> None:
        """Remove the values of processes that are gone. Raises as ``exchange``."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._layer.connection(0).hdel(self._key, *members)


def shareable(layer: object) -> bool:
    """Whether it is a layer of one Redis, whose client is to be had."""
    return hasattr(layer, "connection") and getattr(layer, "ring_size", 0) == 1
