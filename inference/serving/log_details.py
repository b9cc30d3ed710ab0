"""What the request log keeps of a request besides its outcome: moments, inputs, parameters and the answer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from inference.messaging.messages import Description, Result
from inference.request_log import answer
from inference.request_log.preview import Kept, kept, storable
from inference.request_log.redaction import Redactor
from inference.scheduling.calls import Answer
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.tasks import TASKS
from inference.tasks.media import Media


class Moments(NamedTuple):
    """Milliseconds from the request's arrival; of a list, of its first input."""

    sent: float | None = None
    started: float | None = None
    first_token: float | None = None


ARRAY = "(float32, "
"""Begins what stands for an array."""
UNKNOWN = Moments()


def moments(admitted_ms: float | None, answers: Sequence[Answer], generations: Sequence[GenerationResult]) -> Moments:
    """A worker tells durations, since its clock is another one: the way of the message is not in them."""
    if admitted_ms is None or not answers:
        return UNKNOWN
    sent = admitted_ms + min(one.waited_ms for one in answers)
    started = admitted_ms + min(one.waited_ms + one.result.queue_ms for one in answers)
    if seen := [generation.first_token_ms for generation in generations if generation.tokens]:
        return Moments(sent, started, min(seen))
    told = [one.waited_ms + one.result.generation.first_token_ms for one in answers if one.result.generation]
    return Moments(sent, started, admitted_ms + min(told) if told else None)


def inputs_of(
    query: Query, description: Description | None, seed: int | None, mode: str, redactor: Redactor | None
) -> Kept:
    """Without the bytes of images and recordings, and with the seed, so that it can be run again."""
    form = TASKS[description.task].input if description else None
    media = form is not None and form.media
    inputs = [form.shown(value) for value in query.inputs] if form is not None and media else query.inputs
    parameters: Any = query.parameters if seed is None else {**(query.parameters or {}), "seed": seed}
    texts = kept(inputs, parameters, mode, redactor)
    return texts._replace(complete=False) if media else texts


def answer_of(
    answers: Sequence[Answer], generations: Sequence[GenerationResult], mode: str, redactor: Redactor | None
) -> str:
    """Of a text that was not generated to its end, what there was of it."""
    if mode == "none":
        return ""
    if answers:
        return answer.beginning((shown(one.result) for one in answers), len(answers), mode, redactor)
    texts = [msgspec.json.encode(storable(generation.text)) for generation in generations if generation.tokens]
    return answer.beginning(texts, len(texts), mode, redactor)


def shown(result: Result) -> answer.Output:
    """JSON, or what stands for media and arrays."""
    if result.shape:
        return f"{ARRAY}{' × '.join(map(str, result.shape))})"
    return str(Media(result.output, result.media_type)) if result.media_type else result.output
