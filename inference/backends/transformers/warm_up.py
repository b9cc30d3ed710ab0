"""Real inputs for checks, warm-up and the first figures of the cost model."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from inference.backends.base import BatchedPipeline, LoadFailed, Outcome, Turn, at_once, compute_clock
from inference.backends.sizes import computed_tokens
from inference.backends.transformers import task as transformers_tasks
from inference.errors import InferenceError
from inference.messaging.messages import Description, Job
from inference.tasks import TASKS

MORE = "There is more to say about it, and somebody will say it before the evening is over, as always."
VARIED = (
    "In 1969, two people walked on the Moon; prices rose by 3.5 % that year. "
    "def area(r): return 3.14159 * r ** 2  # code "
    "Q: What is the capital of France? A: Paris! Die Katze schläft, el perro corre, 東京は雨です. "
    '{"name": "Ada", "tags": ["x", "y"]} He said, "I cannot believe it." WARNING: file not found (errno=2).'
)
"""Text of many kinds, which brings out large activations."""
SHAPES = ((1, 0), (8, 0), (24, 0), (8, 2), (1, 8), (4, 8), (16, 2))
"""Batches to measure: how many inputs, and how many times ``MORE`` is appended to each."""
STREAMED = SHAPES[:2]
"""The same where texts are generated step by step: nothing is chosen by what batches of prompts cost."""
OF_MEDIA = ((1, 0), (4, 0))
"""The same with images and recordings, which are all of one size for the model, and a large one."""
ONE_BY_ONE = ((1, 0), (1, 2), (1, 8))
"""The same where each input has a call of its own."""


def example(
    description: Description, *, longer: int = 0, parameters: Mapping[str, Any] | None = None, more: str = MORE
) -> Job:
    """An input that every model of the task can answer; ``longer`` times with ``more`` after it."""
    task = TASKS[description.task]
    spec = transformers_tasks.find(task)
    given = {**task.example_parameters, **(spec.warm_up_parameters if spec else {}), **(parameters or {})}
    value = task.input.changed(
        task.example_for(description.mask_token), lambda text: " ".join([text] + [more] * longer)
    )
    value = task.input.checked("The example", value, description, cut=True)
    return Job(id=0, request_id="warm-up", input=value, parameters=given, time_left_s=3600)


def typical(pipeline: BatchedPipeline, *, varied: bool, parameters: Mapping[str, Any] | None = None) -> Job:
    """An example for batches that are measured, or ``varied`` where activations are watched."""
    short, long = (
        example(pipeline.description, longer=longer, more=VARIED, parameters=parameters) for longer in (0, 1)
    )
    return long if varied and takes(pipeline, long) else short


def prepared(pipeline: BatchedPipeline, jobs: list[Job]) -> list[Any]:
    """The jobs, tokenised.

    Raises:
        LoadFailed: the model cannot take its own example.
    """
    outcomes = pipeline.prepare(jobs)
    for outcome in outcomes:
        if isinstance(outcome, InferenceError):
            raise LoadFailed(f"{pipeline.description.model} cannot take its warm-up input: {outcome.message}")
    return list(outcomes)


def takes(pipeline: BatchedPipeline, job: Job) -> bool:
    """Whether it is not too long for the model."""
    return not isinstance(pipeline.prepare([job])[0], InferenceError)


def measure(pipeline: BatchedPipeline, turn: Turn = at_once) -> list[tuple[int, int, float]]:
    """Run a few batches, each in a turn of its own; jobs, computed tokens and milliseconds of each, best of two.

    Raises:
        LoadFailed: the model cannot answer its own example.
    """
    first, *others = _batches(pipeline)
    return [_measure(pipeline, jobs, turn) for jobs in (first, *(jobs for jobs in others if takes(pipeline, jobs[0])))]


def _batches(pipeline: BatchedPipeline) -> list[list[Job]]:
    d = pipeline.description
    spec = transformers_tasks.find(TASKS[d.task])
    if not pipeline.shares_calls and spec and spec.call_parameters:
        return [[example(d, parameters=parameters)] for parameters in spec.call_parameters]
    several = SHAPES if pipeline.shares_calls else ONE_BY_ONE
    shapes = OF_MEDIA if TASKS[d.task].input.media else STREAMED if d.streams else several
    more = getattr(pipeline, "warm_up_parameters", {})
    return [[example(d, longer=longer, parameters=more)] * size for size, longer in shapes]


def _measure(pipeline: BatchedPipeline, jobs: list[Job], turn: Turn) -> tuple[int, int, float]:
    clock, best = compute_clock(pipeline.description), float("inf")
    for _ in range(2):
        batch = prepared(pipeline, jobs)
        outcomes, seconds = turn(partial(_timed, clock, pipeline, batch))
        best = min(best, seconds * 1000)
        for outcome in outcomes:
            if isinstance(outcome, InferenceError):
                raise LoadFailed(f"{pipeline.description.model} cannot answer its warm-up input: {outcome.message}")
    return len(batch), computed_tokens(batch, pads=pipeline.pads), best


def _timed(
    clock: Callable[[], float], pipeline: BatchedPipeline, batch: Sequence[Any]
) -> tuple[Sequence[Outcome], float]:
    """Outcomes, and seconds by the clock of the cost model."""
    began = clock()
    outcomes = pipeline.run(batch)
    return outcomes, clock() - began
