"""What the page of one request shows."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from inference.admin.request_log import cells
from inference.admin.request_log.cells import duration
from inference.admin.request_log.timeline import timeline
from inference.models import InferenceRequest

LIST = "admin:inference_inferencerequest_changelist"
CHANGE = "admin:inference_inferencerequest_change"
MOST_REPEATS = 10
"""That a page links to."""


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: Any
    address: str = ""
    """Of the list with the rows that have the same, or of another page."""
    note: str = ""


def pretty(text: str) -> str:
    """JSON with line breaks; anything else as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, str | int | float) else json.dumps(value, indent=2, ensure_ascii=False)


def context(row: InferenceRequest, site: str, *, texts: bool) -> dict[str, Any]:
    """For the template. ``texts``: inputs, answer and messages may be seen."""
    return {
        "row": row,
        "outcome": cells.outcome(row),
        "received": f"{timezone.localtime(row.received_at):%Y-%m-%d %H:%M:%S.%f}"[:-3],
        "sees_texts": texts,
        "message": row.message if texts else "",
        "input": pretty(row.preview) if texts else "",
        "parameters": pretty(row.parameters) if texts else "",
        "answer": pretty(row.answer) if texts else "",
        "timeline": timeline(row),
        "facts": [(title, [fact for fact in facts if fact.value]) for title, facts in _facts(row, site)],
        "first": _first(row, site),
        "repeats": _repeats(row, site),
    }


def _facts(row: InferenceRequest, site: str) -> list[tuple[str, list[Fact]]]:
    def rows(**query: str) -> str:
        return f"{reverse(LIST, current_app=site)}?{urlencode(query)}"

    mates = row.batch_size - 1
    return [
        ("Request", [
            Fact("Trace id", row.trace_id, rows(q=row.trace_id or "")),
            Fact("Transport", row.get_transport_display()),
            Fact("Dialect", row.dialect),
            Fact("Inputs", row.inputs),
            Fact("Requests in this row", row.count if row.count > 1 else "", note="similar refusals within one second"),
        ]),
        ("Caller", [
            Fact("Address", row.client, rows(client=row.client or "")),
            Fact("Owner", row.owner, rows(owner=row.owner)),
            Fact("Key", row.key, rows(key=row.key)),
        ]),
        ("Inference", [
            Fact("Pipeline", row.pipeline, rows(pipeline=row.pipeline)),
            Fact("Version", row.version, rows(version=row.version)),
            Fact("Worker", row.worker),
            Fact("Batch", row.batch_size, note=f"{mates or 'no'} batch mate{'' if mates == 1 else 's'}"),
            Fact("Times sent", row.times_sent if row.times_sent > 1 else "", note="a worker was lost"),
            Fact("Units", row.units),
        ]),
        ("Times", [
            Fact("Queue", duration(row.queue_ms)),
            Fact("Model", duration(row.inference_ms), note="the longest of its inputs" if row.inputs > 1 else ""),
            Fact("Share of the model's time", duration(row.model_ms)),
            Fact("Total", duration(row.total_ms)),
        ]),
    ]  # fmt: skip


def _first(row: InferenceRequest, site: str) -> Fact | None:
    """The request that this one repeats."""
    if not row.again_of:
        return None
    pk = InferenceRequest.objects.filter(request_id=row.again_of).values_list("pk", flat=True).first()
    return Fact("", row.again_of, reverse(CHANGE, args=[pk], current_app=site) if pk else "")


def _repeats(row: InferenceRequest, site: str) -> list[Fact]:
    rows = InferenceRequest.objects.filter(again_of=row.request_id).order_by("-id")
    return [
        Fact(f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S}", request_id, reverse(CHANGE, args=[pk], current_app=site))
        for pk, request_id, at in rows.values_list("pk", "request_id", "received_at")[:MOST_REPEATS]
    ]
