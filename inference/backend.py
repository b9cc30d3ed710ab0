"""What a worker needs of a loaded pipeline, however it is run. Nothing here imports a model library."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from inference.errors import InferenceError
from inference.messages import Description, Job

FAILED = "The model failed on this input; the server's log has the details under this request's id."

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
    def lanes(self) -> int:
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


def compute_clock(description: Description) -> Callable[[], float]:
    """Seconds that count for the cost model: the thread's own on a CPU; a device's work is waited for."""
    return time.thread_time if description.device == "cpu" else time.perf_counter


def check_number(outcomes: Sequence[object], jobs: Sequence[object]) -> None:
    """Misaligned answers would be somebody else's."""
    if len(outcomes) != len(jobs):
        raise RuntimeError(f"{len(jobs)} jobs in, {len(outcomes)} outcomes out")
