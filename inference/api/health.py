"""What probes, Prometheus and people with curl ask: is it alive, ready, what is served, how much.

Where callers need keys, ``/health`` and ``/health/…`` are answered without one, with the bare status.

``/health``, ``/health/…`` and ``/info`` are also below ``/pipelines/{name}``, about that pipeline.
"""

from ipaddress import ip_address
from typing import Any

import msgspec

from inference.access.checking import Caller
from inference.access.credentials import Keys
from inference.access.principal import ANYONE, NOBODY
from inference.api.dialects.base import Reply
from inference.api.hosts import own_address
from inference.api.http import HttpConsumer
from inference.api.scope import client_address
from inference.errors import Forbidden
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

    def identify(self, offered: Keys) -> Caller:
        return NOBODY if self.pipeline is None else super().identify(offered)

    async def respond(self) -> None:
        await self.answer_json({"status": "live"})


class Ready(MonitoringConsumer):
    """200 if a request would be served now, else 503 with the reason; a ``warning`` where workers differ.

    With several pipelines, 200 as long as one of them would serve a request, and the state of each.
    """

    def identify(self, offered: Keys) -> Caller:
        return self.identify_probe(offered)

    async def respond(self) -> None:
        reason, names = self.deployment.unready(self.pipeline), self.deployment.catalog.names
        if self.context.principal is NOBODY:
            await self.answer_json({"status": "not ready" if reason else "ready"}, 503 if reason else 200)
            return
        asked = names if self.pipeline is None else [self.pipeline]
        warning = " ".join(filter(None, map(self.service.different, asked)))
        status: dict[str, Any] = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
        if self.pipeline is None and len(names) > 1:
            status["pipelines"] = {state.name: _short(state.state, state.reason) for state in self.deployment.states()}
        status |= {"warning": warning} if warning else {}
        await self.answer_json(status, 503 if reason else 200)


class Info(MonitoringConsumer):
    """What is served: one object for each pipeline, or that of the pipeline in the path."""

    async def respond(self) -> None:
        states = self.deployment.states()
        if self.pipeline is not None:
            await self.answer_json(next(state for state in states if state.name == self.pipeline))
        else:
            await self.answer_json({"default": self.deployment.catalog.default.name, "pipelines": states})


class MetricsExport(MonitoringConsumer):
    """Prometheus' text format, for whom ``INFERENCE_METRICS_ACCESS`` says."""

    def identify(self, offered: Keys) -> Caller:
        match self.service.conf.metrics_access:
            case "key":
                return self.service.access.manager(offered, self.address)
            case "loopback" if not _is_loopback(client_address(self.scope)):
                return Forbidden("Metrics are for clients on the same machine; see INFERENCE_METRICS_ACCESS.")
        return ANYONE

    async def respond(self) -> None:
        await self.answer(Reply(200, [(b"content-type", CONTENT_TYPE.encode())], self.service.metrics.text()))


def _is_loopback(address: str | None) -> bool:
    """``None``, behind a Unix socket, is what a proxy on this machine may have sent for anybody."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _short(state: str, reason: str) -> dict[str, str]:
    return {"status": state, "reason": reason} if reason else {"status": state}
