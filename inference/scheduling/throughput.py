"""How fast the workers answer this web process. No I/O. Times are seconds of the caller's monotonic clock."""

from collections.abc import Callable, Sequence

from inference.scheduling.host_registry import WorkerView
from inference.scheduling.outage import Outage

DECAY = 0.85
"""Weight of earlier observations when answers arrive: the last seven envelopes count, about a second. Under a burst
of requests workers soon become slower, and a longer memory would admit requests that are then answered too late."""
OUTLIER_RATIO = 4.0
"""An envelope counts at most this many times its expected duration: a longer pause is not due to the workers."""


class Throughput:
    """Measured only while jobs wait for credit, that is while the workers do as much as they can for this process.

    So it includes what reduces it: other web processes, a busy machine, padding.
    """

    def __init__(self) -> None:
        self._jobs = 0.0
        self._worker_s = 0.0
        self._busy_since: float | None = None

    @property
    def per_worker(self) -> float:
        """Jobs per second of a ready worker that has its host for itself; 0 before the first measurement."""
        return self._jobs / self._worker_s if self._worker_s else 0.0

    def observe(self, jobs: int, *, workers: float, backlog: bool, now: float) -> None:
        """Ready workers answered ``jobs`` jobs; ``workers``: the sum of their shares of their hosts.

        ``backlog``: more are waiting.
        """
        if self._busy_since is not None:
            worker_s = (now - self._busy_since) * workers
            if per_worker := self.per_worker:
                worker_s = min(worker_s, OUTLIER_RATIO * jobs / per_worker)
            self._jobs = DECAY * self._jobs + jobs
            self._worker_s = DECAY * self._worker_s + worker_s
        self._busy_since = now if backlog else None

    def end_backlog(self) -> None:
        """No job is waiting any more: the time until the next answer is not measured."""
        self._busy_since = None


class ThroughputEstimate:
    """The expected speed of a pipeline's ready workers. The dispatcher reports what it observes; admission reads it.

    Args:
        serving: the ready workers that new requests are sent to.
    """

    def __init__(self, serving: Callable[[], Sequence[WorkerView]], now: float) -> None:
        self.outage = Outage(now)
        self._serving = serving
        self._throughput = Throughput()

    @property
    def jobs_per_s(self) -> float:
        """Of the ready workers, for this process: measured, otherwise by their cost models; 0 if unknown."""
        if per_worker := self._throughput.per_worker:
            return per_worker * self._capacity()
        return sum(worker.predicted_jobs_per_s for worker in self._serving())

    @property
    def measured(self) -> bool:
        """The speed was measured while the workers were fully used."""
        return self._throughput.per_worker > 0

    def seconds_for(self, jobs: int) -> float:
        """How long the workers need for ``jobs`` jobs; 0 if their speed is unknown."""
        jobs_per_s = self.jobs_per_s
        return jobs / jobs_per_s if jobs_per_s else 0.0

    def observe_workers(self, now: float) -> None:
        """A worker sent its status or was lost."""
        self.outage.update(now, ready=bool(self._serving()))

    def observe_answers(self, jobs: int, now: float, *, backlog: bool) -> None:
        """A worker that still serves new requests answered ``jobs`` jobs; ``backlog``: others wait for credit.

        Answers of workers that stop or serve another version are not reported, since those workers take no more jobs.
        """
        if jobs:
            self._throughput.observe(jobs, workers=self._capacity(), backlog=backlog, now=now)

    def end_backlog(self) -> None:
        """No job is waiting any more, perhaps because the last ones were cancelled or expired."""
        self._throughput.end_backlog()

    def _capacity(self) -> float:
        """Ready workers, each counted by its share of its host (rule 16)."""
        return sum(worker.expected_share for worker in self._serving())
