"""What probes, Prometheus and people with curl ask: is it alive, ready, what is served, how much.

``/health``, ``/health/…`` and ``/info`` are also below ``/pipelines/{name}``, about that pipeline.
"""

from typing import Any

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

    @property
    def pipeline(self) -> str | None:
        """Name of the pipeline that is asked about; ``None`` for all of them."""
        name: str | None = self.scope.get("pipeline")
        return name

    async def answer_json(self, value: Any, status: int = 200) -> None:
        await self.answer(Reply(status, [JSON], msgspec.json.encode(value)))


class Live(MonitoringConsumer):
    """200: the process answers."""

    async def respond(self) -> None:
        await self.answer_json({"status": "live"})


class Ready(MonitoringConsumer):
    """200 if a request would be served now, else 503 with the reason; a ``warning`` where workers differ.

    With several pipelines, 200 as long as one of them would serve a request, and the state of each.
    """

    async def respond(self) -> None:
        reason, warning = self.service.unready(self.pipeline), self.service.different(self.pipeline)
        status: dict[str, Any] = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
        if self.pipeline is None and len(self.service.catalog) > 1:
            status["pipelines"] = {state.name: _short(state.state, state.reason) for state in self.service.states()}
        status |= {"warning": warning} if warning else {}
        await self.answer_json(status, 503 if reason else 200)


class Info(MonitoringConsumer):
    """What is served: one object for each pipeline, or that of the pipeline in the path."""

    async def respond(self) -> None:
        states = self.service.states()
        if self.pipeline is not None:
            await self.answer_json(next(state for state in states if state.name == self.pipeline))
        else:
            await self.answer_json({"default": self.service.catalog.default.name, "pipelines": states})


class MetricsExport(MonitoringConsumer):
    """Prometheus' text format."""

    async def respond(self) -> None:
        await self.answer(Reply(200, [(b"content-type", CONTENT_TYPE.encode())], self.service.metrics.text()))


def _short(state: str, reason: str) -> dict[str, str]:
    return {"status": state, "reason": reason} if reason else {"status": state}
