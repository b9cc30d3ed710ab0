"""A logged request, run again: the same inputs and parameters for the pipeline as it is now."""

import asyncio
import json
import time
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from inference import catalog, conf
from inference.admin.request_log.detail import pretty
from inference.catalog import PipelineSpec
from inference.errors import InferenceError
from inference.models import InferenceRequest
from inference.process import calls
from inference.process.on_demand import CannotServe
from inference.request_log import answer, redaction
from inference.serving.context import RequestContext
from inference.serving.log_details import ARRAY, shown
from inference.serving.query import Query
from inference.tasks import TASKS

FORM = "full"
"""In which an answer is shown, as the log keeps it with the inputs."""


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    differs: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, as the page shows them."""

    request_id: str
    outcome: str
    """``ok``, or the code of the error."""
    text: str
    """The beginning of the answer, or the error's message."""
    version: str
    queue_ms: float | None
    inference_ms: float | None
    total_ms: float
    batch_size: int


def why_not(row: InferenceRequest) -> str:
    """Why it cannot run again, in a sentence; empty if it can."""
    spec = catalog.current().find(row.pipeline) if row.pipeline else None
    if row.audit_erased:
        return "Its inputs were erased from the log."
    if not row.pipeline:
        return "It was refused before its pipeline was known."
    if spec is None:
        return f"There is no pipeline {row.pipeline!r} here any more."
    if not row.preview:
        return "The log has no input of it: none had been read, or none is kept (INFERENCE_LOG_INPUTS=none)."
    if not row.complete:
        return _what_is_missing(spec)
    return ""


def _what_is_missing(spec: PipelineSpec) -> str:
    task = TASKS.get(spec.conf.task)
    if task is not None and task.input.media:
        return "Its input is an image or a recording, which the log does not keep."
    if conf.current().log_inputs != "full":
        return "Its input was not kept in full. With INFERENCE_LOG_INPUTS=full, later requests can run again."
    return (
        "Its input or parameters were not kept as they were sent: it is older than INFERENCE_LOG_INPUTS=full, "
        "INFERENCE_LOG_REDACTOR changed them, or they are no plain JSON of moderate size."
    )


def run(row: InferenceRequest) -> Side:
    """Waits for the answer. The new request is in the log, too, with the id of the first.

    Raises:
        CannotServe: this process serves nothing.
    """
    context = RequestContext(transport=InferenceRequest.Transport.PYTHON, again_of=row.request_id)
    query, began = _query(row), time.monotonic()
    try:
        result = asyncio.run(calls.answer(context, lambda: query))
    except InferenceError as error:
        took_ms = (time.monotonic() - began) * 1000
        return Side(context.id, error.code, error.message, "", None, None, took_ms, 0)
    results = [outcome.result for outcome in result.outcomes if outcome.result is not None]
    redactor = redaction.configured(conf.current().log_redactor)
    text = answer.beginning(map(shown, results), len(results), FORM, redactor)
    times = result.times
    return Side(
        context.id, "ok", text, result.served.version, times.queue_ms, times.inference_ms, times.total_ms,
        times.batch_size,
    )  # fmt: skip


def first(row: InferenceRequest) -> Side:
    """The request of the log."""
    text = row.answer if row.status == InferenceRequest.Status.OK else row.message
    return Side(
        row.request_id, row.code or "ok", text, row.version, row.queue_ms, row.inference_ms, row.total_ms,
        row.batch_size,
    )  # fmt: skip


def compared(one: Side, other: Side) -> tuple[list[Line], list[Line]]:
    """The lines of both texts, and which of them the other has not."""
    left, right = pretty(one.text).splitlines(), pretty(other.text).splitlines()
    matching = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    same_left = {block.a + n for block in matching for n in range(block.size)}
    same_right = {block.b + n for block in matching for n in range(block.size)}
    return (
        [Line(text, n not in same_left) for n, text in enumerate(left)],
        [Line(text, n not in same_right) for n, text in enumerate(right)],
    )


def verdict(one: Side, other: Side) -> str:
    """What the comparison comes to, in a sentence. Of what is not kept it says nothing."""
    if one.outcome != other.outcome:
        said = "The outcomes differ."
    elif not one.text:
        said = "Nothing is kept of the first answer."
    elif one.text != other.text:
        said = "The answers differ."
    elif one.text.startswith("("):  # it stands for media or vectors
        said = f"Both answers are {one.text.strip('()')}; what they contain is not kept."
    elif one.text.endswith("…"):
        said = "Both answers begin the same; the rest is not kept."
    else:
        said = "Both answers are the same."
    replaced = one.version and other.version and one.version != other.version
    return f"{said} The model is another version now." if replaced else said


def _query(row: InferenceRequest) -> Query:
    inputs: list[Any] = json.loads(row.preview)
    return Query(
        inputs=inputs,
        many=True,
        parameters=json.loads(row.parameters) if row.parameters else None,
        pipeline=row.pipeline,
        arrays=row.answer.lstrip("[").startswith(ARRAY),
    )


__all__ = ["CannotServe", "Line", "Side", "compared", "first", "run", "verdict", "why_not"]
