"""The protocols that a worker needs of a loaded pipeline. Nothing here imports a model library."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import Description, FinishReason, Heard, Job
from inference.tasks.arrays import Array
from inference.tasks.media import Media

T = TypeVar("T")
FAILED = "The model failed on this input; the server's log has the details under this request's id."


class LoadFailed(Exception):
    """The pipeline cannot be served. The message is one sentence for the operator."""


Outcome = bytes | Media | Array | InferenceError
"""Of one job: JSON; a recording or image; vectors, if it wants arrays; or what was wrong with its input."""


class PreparedJob(Protocol):
    """A tokenised job, with the sizes by which the batch policy decides (``batching.policy.Candidate``).

    Sizes are in a unit of the pipeline's own, each of which costs the model about the same: usually tokens. A job whose
    cost shows only while it runs has the most it may cost before the run, and what it did cost afterwards.
    """

    @property
    def tokens(self) -> int: ...
    @property
    def longest(self) -> int: ...
    @property
    def sequences(self) -> int: ...


class Counted(Protocol):
    """A prepared job of a text may say what the model reads of it; then its result says so, too."""

    @property
    def input_tokens(self) -> int:
        """Of all its sequences: with special tokens, without padding."""
        ...

    @property
    def truncated(self) -> bool:
        """It was cut, as its request allowed."""
        ...


class Hearing(Protocol):
    """A prepared job of a recording may say what was learnt of it, once it has run."""

    @property
    def heard(self) -> Heard: ...


@runtime_checkable
class Stoppable(Protocol):
    """A tokenised job whose run can be ended early."""

    def stop(self) -> None:
        """End the run as soon as possible; its outcome is discarded. May be called from any thread."""
        ...


class Pipeline(Protocol):
    """A pipeline that is loaded and warm.

    ``prepare`` is called on the tokenizer's thread and everything else on model threads, which the pipelines of a host
    share; each method by one thread at a time unless it says otherwise. One that has the methods of both kinds is run
    as a ``SteppedPipeline``.
    """

    description: Description
    warm_up_costs: Sequence[tuple[int, int, float]]
    """Jobs, computed tokens and milliseconds of the batches that were run at warm-up."""

    def prepare(self, jobs: Sequence[Job]) -> Sequence[PreparedJob | InferenceError]:
        """Tokenise: one outcome per job, in order. Called for the next jobs while the model works on these."""
        ...

    def use_threads(self, threads: int) -> None:
        """How many cores later calls from the calling thread may use."""
        ...

    def close(self) -> None:
        """Free the model and everything else it holds. The last call, while no other is under way."""
        ...


class BatchedPipeline(Pipeline, Protocol):
    """A pipeline that answers a batch in one call."""

    @property
    def concurrent_batches(self) -> int:
        """How many calls of ``run`` may be under way at once, each on a thread of its own."""
        ...

    @property
    def pads(self) -> bool:
        """See ``batching.policy.BatchLimits``."""
        ...

    @property
    def shares_calls(self) -> bool:
        """Several jobs may share a call. Otherwise each has one of its own, and its answer waits for no other's."""
        ...

    def run(self, batch: Sequence[Any]) -> list[Outcome]:
        """One outcome per prepared job, in order. Raises if the batch failed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A token that a step generated for one job; the last one has a finish reason and the answer as JSON."""

    index: int
    token: int
    text: str
    logprob: float
    """NaN where it is not known."""
    special: bool
    data: bytes = b""
    """See ``Token``."""
    top: tuple[tuple[int, str, float], ...] = ()
    finish_reason: FinishReason | None = None
    output: bytes = b""


Stepped = Generated | Sequence[Generated] | InferenceError | None
"""Of one job in a step: a token, or those of a step that generates several; nothing while its prompt is read."""


def generated(outcome: Generated | Sequence[Generated] | None) -> Sequence[Generated]:
    """The tokens of a job in a step."""
    return (outcome,) if isinstance(outcome, Generated) else outcome or ()


@runtime_checkable
class SteppedPipeline(Pipeline, Protocol):
    """A pipeline that generates the next of each running job in each call: usually a token."""

    def cache_tokens(self, prepared: Collection[Any]) -> int:
        """The cache that these need together, however long they get. May be called from any thread."""
        ...

    def retain(self, prepared: Collection[Any]) -> None:
        """Free the cache of all other jobs."""
        ...

    def step_tokens(self, prepared: Sequence[Any], prompt_tokens: int | None = None) -> int:
        """How many tokens ``step`` with these arguments computes. May be called from any thread."""
        ...

    def step(self, prepared: Sequence[Any], prompt_tokens: int | None = None) -> Sequence[Stepped]:
        """One outcome per job, in order. If it raises, nothing has changed.

        ``prompt_tokens``: at most so many tokens of prompts are read, at least one; ``None``: as many as are usual.
        """
        ...


@runtime_checkable
class LongSteps(Protocol):
    """A ``SteppedPipeline`` whose steps take as long as batches, so that their cost has to be known from the first.

    ``step_tokens`` is then the most that a step may compute, and ``warm_up_costs`` are those of steps.
    """

    @property
    def computed_tokens(self) -> int:
        """What the last step has computed."""
        ...


class TextFigures(NamedTuple):
    """Of what a pipeline keeps of prompts, so that later texts that begin equally need not read it, and of guesses."""

    bytes: int
    """Held now."""
    reused_tokens: int
    """That were not read, so far."""
    evicted: int
    """Parts that had to go for others, so far."""
    guessed_tokens: int = 0
    """Tokens that steps have checked beside those that they drew anyway, so far."""
    right_guesses: int = 0
    """Of these, tokens of texts."""


@runtime_checkable
class ReadsPrompts(Protocol):
    """A ``SteppedPipeline`` that reads prompts in parts, beside running texts with a token in each step.

    It keeps what texts began with. A prepared job may have ``cached_tokens``: of its prompt, those that were not read.
    """

    @property
    def figures(self) -> TextFigures: ...


class Turn(Protocol):
    """Runs a call on the model's thread, in a turn of its own, and returns what it returns; raises what it raises.

    For what is measured, or computes for long, while a pipeline is loaded beside others.
    """

    def __call__(self, call: Callable[[], T]) -> T: ...


def at_once(call: Callable[[], T]) -> T:
    """The ``Turn`` of a pipeline that is loaded with no other in the process: the calling thread runs it."""
    return call()


class Load(Protocol):
    """Loads a pipeline and warms it up; reports progress in words. Raises ``LoadFailed``.

    Called on a thread of its own that ends with the call.
    """

    def __call__(
        self, conf: Conf, report: Callable[[str], None], turn: Turn = at_once
    ) -> BatchedPipeline | SteppedPipeline: ...


def compute_clock(description: Description) -> Callable[[], float]:
    """The clock, in seconds, for the cost model: the thread's CPU time on a CPU, the elapsed time on a device."""
    return time.thread_time if description.device == "cpu" else time.perf_counter


def check_number(outcomes: Sequence[object], jobs: Sequence[object]) -> None:
    """Raise ``RuntimeError`` unless there is one outcome per job: others would go to the wrong clients."""
    if len(outcomes) != len(jobs):
        raise RuntimeError(f"{len(jobs)} jobs in, {len(outcomes)} outcomes out")
