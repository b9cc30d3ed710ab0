"""An entry of the request log, its database row and its log record."""

import ipaddress
import logging
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from django.db import models

from inference.models import InferenceRequest
from inference.observability import tracing
from inference.request_log.preview import storable

logger = logging.getLogger("inference.requests")
"""One record per request, whatever its outcome; refusals that share a row have none."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One finished client call. The fields are those of ``InferenceRequest``, and what only
    usage and roll-ups have.

    ``received_at`` is in seconds since the epoch, UTC. ``count`` is the number of refusals that share the row.
    """

    request_id: str
    received_at: float
    transport: str
    client: str | None
    dialect: str = ""
    key: str = ""
    key_name: str = ""
    owner: str = ""
    pipeline: str = ""
    version: str = ""
    inputs: int = 0
    preview: str = ""
    parameters: str = ""
    complete: bool = False
    again_of: str | None = None
    trace_id: str | None = None
    status: str
    code: str = ""
    message: str = ""
    answer: str = ""
    times_sent: int = 0
    worker: str = ""
    batch_size: int = 0
    queue_ms: float | None = None
    inference_ms: float | None = None
    model_ms: float | None = None
    units: int = 0
    admitted_ms: float | None = None
    sent_ms: float | None = None
    started_ms: float | None = None
    first_token_ms: float | None = None
    total_ms: float
    count: int = 1
    tokens: int = 0
    """That workers read; no column."""
    computed_tokens: float = 0.0
    """For them, with padding; no column."""
    gap: int = 0
    """Requests dropped just before this one; no column."""

    @property
    def chars(self) -> int:
        """Of the texts that may be long."""
        return len(self.preview) + len(self.parameters) + len(self.answer)


_WITHOUT_COLUMN = ("gap", "key_name", "tokens", "computed_tokens")
_FIELDS = [f.name for f in fields(Entry) if f.name not in _WITHOUT_COLUMN]
_LOGGED_FIELDS = (
    "transport", "client", "dialect", "key", "owner", "pipeline", "version", "inputs", "status", "code", "times_sent",
    "worker", "batch_size", "queue_ms", "inference_ms", "model_ms", "units", "total_ms",
)  # fmt: skip
"""None of them has text of the request's body."""
_MAX_LENGTHS = {
    f.name: f.max_length
    for f in InferenceRequest._meta.concrete_fields
    if isinstance(f, models.CharField | models.TextField) and f.name in _FIELDS
}


def report(entry: Entry, traceparent: str) -> None:
    """Log the request: the fields of its row, without those that have text of its body."""
    if logger.isEnabledFor(logging.INFO):
        outcome = f"{entry.status} {entry.code}".rstrip()
        extra = tracing.fields(entry.request_id, traceparent) | {name: getattr(entry, name) for name in _LOGGED_FIELDS}
        logger.info("%s %s %s, %.1f ms", entry.transport, entry.request_id, outcome, entry.total_ms, extra=extra)


def to_row(entry: Entry) -> InferenceRequest:
    """The database row. Texts are cut to the length of their column; an invalid address becomes null.

    Raises:
        ValueError, TypeError, OverflowError: a field has a value that no database can store.
    """
    values = {name: getattr(entry, name) for name in _FIELDS}
    for name, max_length in _MAX_LENGTHS.items():
        if values[name] is not None:
            values[name] = storable(values[name])[:max_length]
    values["received_at"] = datetime.fromtimestamp(entry.received_at, UTC)
    values["client"] = _address(entry.client)
    return InferenceRequest(**values)


def _address(client: str | None) -> str | None:
    try:
        address = ipaddress.ip_address((client or "").partition("%")[0])  # PostgreSQL's inet has no %scope
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
