"""A web process says hello to the workers and to itself, each period: so lost messages and lost workers are found.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
from collections.abc import Callable

from inference.messaging.layer import SEND_TIMEOUT_S, ChannelLayer, LayerHealth
from inference.messaging.messages import WORKERS_GROUP, Hello, encode
from inference.scheduling.worker_registry import WorkerRegistry

HEARTBEAT_PERIOD_S = 1.0
PAIRS_PER_SECOND = 50
"""The hello period grows so that there are at most so many statuses a second, webs times workers."""


class Heartbeat:
    """The dispatcher's; ``on_period`` is called as each period ends."""

    def __init__(
        self,
        layer: ChannelLayer,
        channel: str,
        registry: WorkerRegistry,
        health: LayerHealth,
        on_period: Callable[[], None],
    ) -> None:
        self.newest = 0
        """The number of the newest hello."""
        self._echoed = 0
        self._layer = layer
        self._channel = channel
        self._registry = registry
        self._health = health
        self._on_period = on_period
        self._clock = asyncio.get_running_loop().time

    @property
    def in_time(self) -> bool:
        """The last hello came back: in its period the layer worked (rule 7)."""
        return self._echoed == self.newest

    @property
    def come_back(self) -> bool:
        """The last hello, or the one before, did."""
        return self._echoed >= self.newest - 1

    def heard(self, number: int) -> None:
        """One of ours came back."""
        self._echoed = max(self._echoed, number)

    async def run(self) -> None:
        """Say hello until cancelled."""
        while True:
            if not self.in_time:
                self._health.failed("a message to ourselves did not come back in time")
            self._on_period()
            self.newest += 1
            hello = encode(Hello(self._channel, self.newest))
            started = self._clock()
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._layer.send(self._channel, hello)
                    await self._layer.group_send(WORKERS_GROUP, hello)
            except Exception as error:
                self._health.failed(f"sending: {error!r}")
            await asyncio.sleep(max(0.0, started + self._period_s() - self._clock()))

    def _period_s(self) -> float:
        pairs = len(self._registry) * max((worker.webs for worker in self._registry), default=1)
        return max(HEARTBEAT_PERIOD_S, pairs / PAIRS_PER_SECOND)
