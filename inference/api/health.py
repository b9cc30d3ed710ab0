"""``/health/…`` and ``/metrics``: what probes and Prometheus ask."""

import msgspec

from inference.api.hosts import own_address
from inference.api.http import HttpConsumer
from inference.observability.metrics import CONTENT_TYPE


class Watched(HttpConsumer):
    """Base of what probes and Prometheus ask, which call a process by its address."""

    def allowed_host(self) -> bool:
        return super().allowed_host() or own_address(self.scope)


class Live(Watched):
    """``GET /health/live``: the process answers."""

    async def respond(self) -> None:
        await self.answer(200, b'{"status": "live"}')


class Ready(Watched):
    """``GET /health/ready``: 200 only when a request now would be served; a ``warning`` where workers differ."""

    async def respond(self) -> None:
        reason, warning = self.service.unready(), self.service.different()
        status = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
        status |= {"warning": warning} if warning else {}
        await self.answer(503 if reason else 200, msgspec.json.encode(status))


class Metrics(Watched):
    """``GET /metrics``: Prometheus' text format."""

    async def respond(self) -> None:
        await self.answer(200, self.service.metrics.text(), [(b"content-type", CONTENT_TYPE.encode())])
