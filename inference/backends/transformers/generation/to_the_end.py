"""Texts from the first step to the last, with nothing else meanwhile: for suspects, checks and warm-up."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from inference.backends.base import Outcome, Stepped, generated
from inference.errors import InferenceError


class Steps(Protocol):
    """What is needed of a pipeline that generates step by step."""

    def fitting(self, prepared: Sequence[Any]) -> Sequence[Any]: ...
    def retain(self, prepared: Collection[Any]) -> None: ...
    def step(self, prepared: Sequence[Any]) -> Sequence[Stepped]: ...


def to_the_end(pipeline: Steps, prepared: Sequence[Any]) -> list[Outcome]:
    """One outcome per text, in order; as many as fit at once run together."""
    outcomes: dict[Any, Outcome] = {}
    while waiting := [text for text in prepared if text not in outcomes]:
        running = pipeline.fitting(waiting)
        pipeline.retain(running)
        for text, outcome in zip(running, pipeline.step(running), strict=True):
            if isinstance(outcome, InferenceError):
                outcomes[text] = outcome
            elif (made := generated(outcome)) and made[-1].finish_reason:
                outcomes[text] = made[-1].output
    pipeline.retain(())
    return [outcomes[text] for text in prepared]
