"""What workers tell of a request before its answer, and where it goes: to the generated texts and to the caller."""

from collections.abc import Callable
from typing import Any

from inference.messaging.messages import Result, Token
from inference.scheduling.calls import Events, seed_of
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.progress import Progress
from inference.serving.query import Query
from inference.serving.record import RequestRecord
from inference.serving.result import Served
from inference.tasks.base import Task


def events_of(
    record: RequestRecord, query: Query, progress: Progress, admitted: Callable[[Served], None] | None
) -> Events:
    """What the dispatcher calls for a request's jobs; ``admitted`` is called when they can be sent."""
    generations, served = record.generations, record.served
    tell = None if admitted is None else lambda: admitted(served)
    started = progress.started if progress.wants_started else None
    if not generations:
        return Events(tell, started)

    def take(index: int, token: Token) -> None:
        generations[index].take(token)
        if query.stream:
            progress.token(token, generations[index])

    def finish(index: int, result: Result) -> None:
        if result.generation is not None:
            generations[index].finish(result.generation)
            if query.stream:
                progress.finished(generations[index])

    return Events(tell, started, take, finish)


def generations_of(
    query: Query, parameters: dict[str, Any], task: Task, context: RequestContext
) -> list[GenerationResult]:
    """One per answer; choices have seeds of their own."""
    seed = parameters.get("seed")
    return [
        GenerationResult(
            given=given,
            index=number * query.choices + choice,
            began=context.started_at,
            text_field=task.text_field,
            continues=task.continues,
            in_list=task.output != "transcript",
            seed=None if seed is None else seed_of(seed, choice),
        )
        for number, given in enumerate(query.inputs)
        for choice in range(query.choices)
    ]
