"""What a worker needs of a loaded pipeline, however it is run. Nothing here imports a model library."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from inference.errors import InferenceError
from inference.messaging.messages import Description, FinishReason, Job

FAILED = "The model failed on this input; the server's log has the details under this request's id."


class LoadFailed(Exception):
    """The pipeline cannot be served. The message is one sentence for the operator."""


Outcome = bytes | InferenceError
"""Of one job: JSON, or what was wrong with its input."""


class Prepared(Protocol):
    """A tokenised job. Its sizes are what the batch policy decides by; see ``batch_policy.Candidate``.

    They are in a unit of the pipeline's own, of which each costs the model about the same: usually tokens. What a job
    costs may show only while it runs: then they say before the run what it may come to, afterwards what it came to.
    """

    @property
    def tokens(self) -> int: ...
    @property
    def longest(self) -> int: ...
    @property
    def sequences(self) -> int: ...


@runtime_checkable
class Stoppable(Protocol):
    """A tokenised job whose run can be ended early."""

    def stop(self) -> None:
        """Nobody waits for it any more. From any thread; what ``run`` makes of it is thrown away."""
        ...


class Pipeline(Protocol):
    """A pipeline that is loaded and warm. Each method has a thread of its own, one call at a time."""

    description: Description
    warm_up_costs: Sequence[tuple[int, int, float]]
    """Jobs, computed tokens and milliseconds of the batches that were run at warm-up."""

    def prepare(self, jobs: Sequence[Job]) -> Sequence[Prepared | InferenceError]:
        """Tokenise: one outcome per job, in order. Called for the next jobs while the model works on these."""
        ...

    def close(self) -> None:
        """Free the model and all else that it holds. The last call, while no other is under way."""
        ...


class LoadedPipeline(Pipeline, Protocol):
    """One that is run in batches."""

    @property
    def concurrent_batches(self) -> int:
        """How many batches may run at once."""
        ...

    @property
    def pads(self) -> bool:
        """See ``batch_policy.Limits``."""
        ...

    @property
    def shares_calls(self) -> bool:
        """Several jobs may share a call. Otherwise each has one of its own: its answer need not wait for others'."""
        ...

    def run(self, batch: Sequence[Any]) -> list[Outcome]:
        """One outcome per prepared job, in order: JSON, or what was wrong with it. Raises if the batch failed."""
        ...

    def use_threads(self, threads: int) -> None:
        """How many cores the calls of ``run`` from the calling thread may use."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What a step brought one job: a token; with the last one, why it is the last, and the answer as JSON."""

    index: int
    token: int
    text: str
    logprob: float
    special: bool
    finish_reason: FinishReason | None = None
    output: bytes = b""


@runtime_checkable
class GeneratingPipeline(Pipeline, Protocol):
    """One that generates."""

    def cache_tokens(self, prepared: Collection[Any]) -> int:
        """What the cache takes where these run and no others, however long they get. From any thread."""
        ...

    def retain(self, prepared: Collection[Any]) -> None:
        """Free whatever other jobs have in the cache."""
        ...

    def step(self, prepared: Sequence[Any]) -> Sequence[Generated | InferenceError | None]:
        """One outcome per job, in order; ``None`` while its prompt is read. If it raises, nothing has changed."""
        ...


def compute_clock(description: Description) -> Callable[[], float]:
    """Seconds that count for the cost model: the thread's own on a CPU; a device's work is waited for."""
    return time.thread_time if description.device == "cpu" else time.perf_counter


def check_number(outcomes: Sequence[object], jobs: Sequence[object]) -> None:
    """Misaligned answers would be somebody else's."""
    if len(outcomes) != len(jobs):
        raise RuntimeError(f"{len(jobs)} jobs in, {len(outcomes)} outcomes out")
