"""What happened to a request when: a bar of its stages, drawn on the server, and the moments between them."""

from collections.abc import Iterator
from dataclasses import dataclass

from inference.admin.request_log.cells import duration
from inference.models import InferenceRequest

WIDTH = 1000.0
LEAST_WIDTH = 3.0
"""Of a stage that took some time."""

STAGES = {
    "admitted_ms": ("Admitted", "Reading and admission"),
    "sent_ms": ("Sent to a worker", "Waiting in the web process"),
    "started_ms": ("Started in the model", "Waiting at the worker"),
    "first_token_ms": ("First token", "Reading the prompt"),
}
"""Columns of moments after the arrival, in order: what is reached, and the stage that ends there."""


@dataclass(frozen=True, slots=True)
class Moment:
    name: str
    at: str
    """From the arrival."""
    stage: str
    """What lasted until then."""
    lasted: str
    kind: str
    """Of the stage: the class of its colour."""
    x: float
    width: float


def timeline(row: InferenceRequest) -> list[Moment]:
    """Of the moments that are known, from the arrival to the answer."""
    known = list(_known(row))
    total = max(known[-1][3], 0.001)
    moments, before = [Moment("Arrived", duration(0), "", "", "", 0, 0)], 0.0
    for name, stage, kind, at in known:
        at = min(max(at, before), total)  # durations that a worker has measured may exceed those seen here
        x, width = WIDTH * before / total, WIDTH * (at - before) / total
        if at > before:
            width = max(width, LEAST_WIDTH)
        moments.append(Moment(name, duration(at), stage, duration(at - before), kind, min(x, WIDTH - width), width))
        before = at
    return moments


def _known(row: InferenceRequest) -> Iterator[tuple[str, str, str, float]]:
    for column, (name, stage) in STAGES.items():
        if (at := getattr(row, column)) is not None:
            yield name, stage, column.removesuffix("_ms").replace("_", "-"), at
    yield *_end(row), row.total_ms


def _end(row: InferenceRequest) -> tuple[str, str, str]:
    if row.status == InferenceRequest.Status.OK:
        stage = (
            "Generating"
            if row.first_token_ms is not None
            else "Model and answer"
            if row.started_ms
            else "Until the answer"
        )
        return "Answered", stage, "answered"
    names = {"refused": "Refused", "cancelled": "Cancelled"}
    return names.get(row.status, "Failed"), "Until it ended", "ended"
