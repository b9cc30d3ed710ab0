"""In what usage is counted: units, and milliseconds of the model."""

import math
from collections.abc import Iterable

from inference.messaging.messages import Result
from inference.serving.generation_result import GenerationResult

WEIGHT_OF_NEW = 0.1
"""Of one answer in the mean."""


def units_of(result: Result) -> int:
    """Of one answer: tokens, read and generated; begun seconds of a recording; or else 1, as for an image."""
    if result.heard is not None:
        return math.ceil(result.heard.seconds)
    generated = result.generation.generated_tokens if result.generation else 0
    return result.tokens + generated or 1


def units_sent(text: GenerationResult) -> int:
    """Of a text whose request was not answered: the tokens that its client got, and the prompt if that is known."""
    return (text.prompt_tokens or 0) + len(text.tokens)


def model_ms_of(result: Result) -> float:
    """Of one answer: its share of the time of its batches."""
    return result.model_ms or result.inference_ms / (result.batch_size or 1)


def computed_tokens_of(result: Result) -> float:
    """Of one answer: the tokens of its input with its part of the padding."""
    return result.tokens / (1 - result.padding)


class MeanUnits:
    """Units that an input of each pipeline takes, as learnt from answers; what is reserved before there is one."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def expected(self, pipeline: str, inputs: int) -> int:
        """At least one per input."""
        return inputs * max(1, math.ceil(self._means.get(pipeline, 1.0)))

    def learn(self, pipeline: str, units: Iterable[int]) -> None:
        """Of answers, one by one."""
        for number in units:
            mean = self._means.get(pipeline, number)
            self._means[pipeline] = mean + WEIGHT_OF_NEW * (number - mean)
