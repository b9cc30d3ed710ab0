"""What may be expected of the workers: how fast they answer, and when one is ready again. No I/O.

Moments are seconds of the caller's monotonic clock.
"""

from inference.scheduling.worker_registry import WorkerRegistry

MEMORY = 0.85
"""Weight of what is known when answers come in: the last seven envelopes of answers count, about a second. Under a
flood the workers soon are slower than before it, and what is let in meanwhile would be too late."""
OUTLIER = 4.0
"""An envelope that took longer than so many times the expected says something about a pause, not about the workers."""


class Throughput:
    """Learned only while more waits than the workers may hold: then it is what they can do for this process.

    What makes it less than a worker's best (other web processes, a busy machine, padding) is in it by itself.
    """

    def __init__(self) -> None:
        self._jobs = 0.0
        self._worker_s = 0.0
        self._since: float | None = None

    @property
    def per_worker(self) -> float:
        """Jobs per second and ready worker; 0 while nothing is known."""
        return self._jobs / self._worker_s if self._worker_s else 0.0

    def answered(self, jobs: int, *, workers: int, backlog: bool, now: float) -> None:
        """So many jobs were answered by so many ready workers; ``backlog``: more wait still."""
        if self._since is not None:
            took = (now - self._since) * workers
            if known := self.per_worker:
                took = min(took, OUTLIER * jobs / known)
            self._jobs = MEMORY * self._jobs + jobs
            self._worker_s = MEMORY * self._worker_s + took
        self._since = now if backlog else None

    def caught_up(self) -> None:
        """Nothing waits any more, answered or not: what comes next says nothing about the time until then."""
        self._since = None


class Outage:
    """No worker is ready. The first one begins with the process: a worker has yet to be found, or to load."""

    def __init__(self, now: float) -> None:
        self._since: float | None = now
        self.last_s = 0.0
        """Length of the newest outage that has ended; 0 before the first worker was ready."""

    def note(self, now: float, *, ready: bool) -> None:
        """Whether any worker is ready now."""
        if ready and self._since is not None:
            self.last_s, self._since = now - self._since, None
        elif not ready and self._since is None:
            self._since = now

    def lasts_s(self, now: float) -> float:
        """So far; 0 while a worker is ready."""
        return 0.0 if self._since is None else now - self._since

    def left_s(self, now: float) -> float:
        """Expected: as long as the last one took; beyond that, as long again as it has lasted."""
        lasts_s = self.lasts_s(now)
        return self.last_s - lasts_s if lasts_s < self.last_s else lasts_s


class ThroughputEstimate:
    """Fed by the dispatcher with what it sees, asked by admission."""

    def __init__(self, registry: WorkerRegistry, now: float) -> None:
        self.outage = Outage(now)
        self._registry = registry
        self._throughput = Throughput()

    @property
    def jobs_per_s(self) -> float:
        """What the ready workers do for this process: as observed, else as they promise; 0 if nothing is known."""
        if per_worker := self._throughput.per_worker:
            return per_worker * len(self._registry.serving())
        return sum(worker.promised_jobs_per_s for worker in self._registry.serving())

    @property
    def observed(self) -> bool:
        """The workers' speed was seen, while they had as much to do as they could."""
        return self._throughput.per_worker > 0

    def seconds_for(self, jobs: int) -> float:
        """How long so many jobs keep the workers busy; 0 if nothing is known."""
        jobs_per_s = self.jobs_per_s
        return jobs / jobs_per_s if jobs_per_s else 0.0

    def changed(self, now: float) -> None:
        """Something was heard of a worker, or it was lost."""
        self.outage.note(now, ready=bool(self._registry.serving()))

    def caught_up(self) -> None:
        """Nothing waits any more: it may have been cancelled, or too late."""
        self._throughput.caught_up()

    def answered(self, jobs: int, now: float, *, backlog: bool) -> None:
        """Jobs came back with an answer from a worker that goes on; ``backlog``: others wait that none may take yet.

        What workers answer that stop, or that no longer serve, says nothing about those that stay.
        """
        if jobs:
            self._throughput.answered(jobs, workers=len(self._registry.serving()), backlog=backlog, now=now)
