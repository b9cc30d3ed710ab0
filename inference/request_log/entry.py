"""What one line of the request log says: the entry, its database row, and the preview of its inputs."""

import ipaddress
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from django.db import models

from inference.models import InferenceRequest
from inference.observability import tracing

requests = logging.getLogger("inference.requests")
"""One record for each request, whatever became of it; refusals that share a row have none."""

PREVIEW_CHARS = 200
REFUSALS_PER_SECOND = 50
"""Refusals of one second that get a row each; alike ones beyond share a row."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One finished client call; every field is that of ``InferenceRequest``.

    ``received_at`` is in epoch seconds, UTC. ``count`` belongs to the log: how many refusals share the row.
    """

    request_id: str
    received_at: float
    transport: str
    client: str | None
    pipeline: str = ""
    inputs: int = 0
    preview: str = ""
    status: str
    code: str = ""
    message: str = ""
    times_sent: int = 0
    worker: str = ""
    batch_size: int = 0
    queue_ms: float | None = None
    inference_ms: float | None = None
    total_ms: float
    count: int = 1


REPORTED = [f.name for f in fields(Entry) if f.name not in ("request_id", "received_at", "preview", "message", "count")]


def report(entry: Entry, traceparent: str) -> None:
    """The request's line in the process's own log: what its row says, without what the client sent."""
    if requests.isEnabledFor(logging.INFO):
        outcome = f"{entry.status} {entry.code}".rstrip()
        extra = tracing.fields(entry.request_id, traceparent) | {name: getattr(entry, name) for name in REPORTED}
        requests.info("%s %s %s, %.1f ms", entry.transport, entry.request_id, outcome, entry.total_ms, extra=extra)


class Refusals:
    """Decides which refusals share a row, so that a flood of them floods neither buffer nor database.

    Pure: the clock is an argument. A second begins with the first refusal after the last one was over.
    """

    def __init__(self, limit: int = REFUSALS_PER_SECOND) -> None:
        self._limit = limit
        self._began = -math.inf
        self._seen = 0
        self._shared: dict[tuple[str, str, str], Entry] = {}

    def add(self, entry: Entry, now: float) -> list[Entry]:
        """Take one refusal at ``now`` (seconds, any origin); returns the rows that are complete by then."""
        complete = self.over(now)
        if now - self._began >= 1:
            self._began, self._seen = now, 0
        self._seen += 1
        if self._seen <= self._limit:
            return [*complete, entry]
        first = self._shared.setdefault((entry.code, entry.transport, entry.pipeline), entry)
        if first is not entry:
            first.count += entry.count
            if first.client != entry.client:
                first.client = None  # the row must not blame one client for what several did
        return complete

    def over(self, now: float) -> list[Entry]:
        """The shared rows, if their second is over."""
        return self.close() if now - self._began >= 1 else []

    def close(self) -> list[Entry]:
        """The shared rows, over or not."""
        complete = list(self._shared.values())
        self._shared.clear()
        return complete


def to_row(entry: Entry) -> InferenceRequest:
    """The database row: texts cut to their columns, no address rather than an invalid one.

    Raises:
        ValueError, TypeError, OverflowError: a field that no database could hold.
    """
    values = {name: getattr(entry, name) for name in _FIELDS}
    for name, longest in _TEXTS.items():
        values[name] = clean(values[name])[:longest]
    values["received_at"] = datetime.fromtimestamp(entry.received_at, UTC)
    values["client"] = _address(entry.client)
    return InferenceRequest(**values)


_FIELDS = [f.name for f in fields(Entry)]
_TEXTS = {
    f.name: f.max_length
    for f in InferenceRequest._meta.concrete_fields
    if isinstance(f, models.CharField | models.TextField)
}


def _address(client: str | None) -> str | None:
    try:
        address = ipaddress.ip_address((client or "").partition("%")[0])  # PostgreSQL knows no %scope
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def clean(text: str) -> str:
    """Text that every database takes: PostgreSQL refuses NUL characters, UTF-8 has no lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


_json = json.JSONEncoder(ensure_ascii=False, skipkeys=True, default=str)


def preview(inputs: Sequence[object], mode: str) -> str:
    """What the log keeps of a request's inputs; ``mode`` is ``Conf.log_inputs``. Takes whatever JSON can say."""
    if mode == "none" or not inputs:
        return ""
    try:
        if mode == "full":
            return clean(_json.encode(list(inputs)))
        beginning = _beginning(inputs[0])
    except (RecursionError, ValueError):  # nested too deeply, or an integer of more digits than Python prints
        beginning = "(not shown)"
    return beginning + (f" (+{len(inputs) - 1} more)" if len(inputs) > 1 else "")


def _beginning(value: object) -> str:
    text = ""
    for part in [value] if isinstance(value, str) else _json.iterencode(value):
        text += part
        if len(text) > PREVIEW_CHARS:
            return clean(text[:PREVIEW_CHARS]) + "…"
    return clean(text)
