"""Who asks, and under which name: one object per request, complete when it is made."""

import time
from dataclasses import dataclass, field

from inference.access.principal import ANYONE, Principal
from inference.observability import tracing
from inference.scheduling.calls import LOCAL, Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """Made where a request enters. What becomes of the request is in a ``RequestRecord``."""

    transport: str
    """One of ``InferenceRequest.Transport``."""
    client: str | None = None
    """Address, for the request log."""
    peer: Peer = LOCAL
    principal: Principal = ANYONE
    dialect: str = ""
    """Name of the one whose route was asked; empty for code of this process."""
    id: str = field(default_factory=tracing.new_request_id)
    traceparent: str = ""
    """Of this request's span, in the trace of a client that sent one."""
    again_of: str | None = None
    """Id of the logged request that this one repeats."""
    received_at: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    started_at: float = field(default_factory=time.monotonic)

    def elapsed_ms(self) -> float:
        return (time.monotonic() - self.started_at) * 1000
