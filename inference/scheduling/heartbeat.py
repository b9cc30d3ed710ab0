"""A web process sends ``hello`` to the hosts and to itself in each period, which detects lost messages and workers.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
from collections.abc import Callable

from inference.messaging.codec import encode
from inference.messaging.layer import SEND_TIMEOUT_S, ChannelLayer
from inference.messaging.layer_health import LayerHealth
from inference.messaging.messages import RELEASE, WORKERS_GROUP, Hello
from inference.scheduling.host_registry import HostRegistry
from inference.scheduling.orders import Wanted

HEARTBEAT_PERIOD_S = 1.0
MAX_STATUSES_PER_S = 50
"""Bounds webs × hosts per hello period; beyond it the period grows."""


class Heartbeat:
    """Sends the hellos of one dispatcher; ``on_period`` is called at the end of each period."""

    def __init__(
        self,
        layer: ChannelLayer,
        channel: str,
        registry: HostRegistry,
        health: LayerHealth,
        on_period: Callable[[], None],
    ) -> None:
        self.newest = 0
        """Number of the newest hello."""
        self.observes = False
        """This process only looks at the workers."""
        self.wanted: Callable[[], Wanted] = lambda: ((), ())
        """What operators want."""
        self.health = health
        self._echoed = 0
        self._layer = layer
        self._channel = channel
        self._registry = registry
        self._on_period = on_period
        self._clock = asyncio.get_running_loop().time

    @property
    def echoed(self) -> bool:
        """The newest hello came back: the layer works in this period (rule 7)."""
        return self._echoed == self.newest

    @property
    def echoed_recently(self) -> bool:
        """The newest hello or the one before came back."""
        return self._echoed >= self.newest - 1

    def record_echo(self, number: int) -> None:
        """A hello of this process came back."""
        self._echoed = max(self._echoed, number)

    async def run(self) -> None:
        """Send hellos until cancelled."""
        while True:
            if not self.echoed:
                self.health.failed("a message to ourselves did not come back in time")
            self._on_period()
            self.newest += 1
            started, period_s = self._clock(), self._period_s()
            hello = encode(Hello(self._channel, self.newest, period_s, RELEASE, self.observes, *self.wanted()))
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._layer.send(self._channel, hello)
                    await self._layer.group_send(WORKERS_GROUP, hello)
            except Exception as error:
                self.health.failed("sending", error)
            await asyncio.sleep(max(0.0, started + period_s - self._clock()))

    def _period_s(self) -> float:
        statuses = len(self._registry) * max((host.webs for host in self._registry), default=1)
        return max(HEARTBEAT_PERIOD_S, statuses / MAX_STATUSES_PER_S)
