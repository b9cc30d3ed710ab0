"""``/health/live``, ``/health/ready`` and ``/metrics``: what probes and Prometheus ask for."""

import msgspec

from inference.api.dialects.base import Reply
from inference.api.hosts import own_address
from inference.api.http import HttpConsumer
from inference.observability.metrics import CONTENT_TYPE

JSON = (b"content-type", b"application/json")


class MonitoringConsumer(HttpConsumer):
    """Probes and Prometheus call a process by its address, which need not be an allowed host."""

    def allowed_host(self) -> bool:
        return super().allowed_host() or own_address(self.scope)


class Live(MonitoringConsumer):
    """200: the process answers."""

    async def respond(self) -> None:
        await self.answer(Reply(200, [JSON], b'{"status": "live"}'))


class Ready(MonitoringConsumer):
    """200 if a request would be served now, else 503 with the reason; a ``warning`` where workers differ."""

    async def respond(self) -> None:
        reason, warning = self.service.unready(), self.service.different()
        status = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
        status |= {"warning": warning} if warning else {}
        await self.answer(Reply(503 if reason else 200, [JSON], msgspec.json.encode(status)))


class MetricsExport(MonitoringConsumer):
    """Prometheus' text format."""

    async def respond(self) -> None:
        await self.answer(Reply(200, [(b"content-type", CONTENT_TYPE.encode())], self.service.metrics.text()))
