"""One pipeline of the catalog as this web process knows it: its workers, versions, queue and speed. No I/O."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from inference.control.desired import Wish
from inference.messaging.messages import Description, Totals
from inference.scheduling.awaiting_description import AwaitingDescription
from inference.scheduling.calls import Call, PendingJob
from inference.scheduling.fair_queue import FairQueue
from inference.scheduling.host_registry import WorkerView
from inference.scheduling.reading_estimate import ReadingEstimate
from inference.scheduling.throughput import ThroughputEstimate
from inference.scheduling.versions import Versions


class ServedPipeline:
    """Everything that pipelines do not share. Times are those of the caller's monotonic clock."""

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.workers: dict[str, WorkerView] = {}
        """By id, from their host's first status until it stops or is lost."""
        self.pending = 0
        """Jobs without an answer, here or at workers."""
        self.redispatched = 0
        """Jobs that went back to the queue, so far."""
        self.totals = Totals()
        """What all its workers have done since this process knows them."""
        self.wish: Wish | None = None
        """What operators want of it, if they ever ordered anything."""
        self.failure = ""
        """That an operator unloaded it; or, where every worker has failed to load it, why. Empty otherwise."""
        self.awaiting_description = AwaitingDescription()
        self.throughput = ThroughputEstimate(self.serving, now)
        self.reading = ReadingEstimate(self.serving)
        self._versions = Versions()
        self._queues: defaultdict[str, FairQueue] = defaultdict(FairQueue)
        """Jobs that wait for a worker with credit, by version."""

    # Workers

    @property
    def description(self) -> Description | None:
        """What new requests are for; while no worker is ready, what they were for last."""
        return self._versions.served

    @property
    def unloaded(self) -> bool:
        """An operator unloaded it; who cannot read that sees it by the workers."""
        if self.wish is not None:
            return self.wish.order == "unload"
        return bool(self.workers) and all(worker.state == "unloaded" for worker in self.workers.values())

    def _failure(self) -> str:
        if self.unloaded:
            since = f" at {self.wish.since}" if self.wish and self.wish.since else ""
            return f"An operator unloaded pipeline {self.name}{since}"
        reasons = [worker.reason for worker in self.workers.values() if worker.state == "failed"]
        if not reasons or len(reasons) < len(self.workers):
            return ""
        return f"Pipeline {self.name} could not be loaded ({reasons[0].rstrip('.')})"

    def serving(self) -> list[WorkerView]:
        """Ready workers of the version that new requests are for."""
        return [] if self.description is None else self.ready_for(self.description.version)

    def ready_for(self, version: str) -> list[WorkerView]:
        return [worker for worker in self.workers.values() if worker.ready and worker.version == version]

    def other_versions(self) -> list[WorkerView]:
        """Ready workers of versions that get no new requests."""
        served = self.description
        return [
            worker
            for worker in self.workers.values()
            if worker.ready and served is not None and worker.version != served.version
        ]

    def worker_lost(self, worker: WorkerView, now: float) -> None:
        """Its host was lost, and the worker has been removed."""
        self._versions.worker_lost(worker.version, now)

    def update(self, now: float) -> None:
        """Decide anew which version new requests are for. Call after each change of a worker, and periodically."""
        ready = [worker.description for worker in self.workers.values() if worker.ready and worker.description]
        self.failure = self._failure()
        self._versions.update(ready, now)
        self.throughput.observe_workers(now)
        if self.description is not None:
            self.awaiting_description.resolve(self.description)

    def select(self, version: str) -> WorkerView | None:
        """The worker for the next job: the one with most credit.

        None while a send to its host is in progress: otherwise a burst would go to workers with less credit.
        """
        candidates = [worker for worker in self.ready_for(version) if worker.credit]
        best = max(candidates, key=lambda worker: (worker.credit, not worker.host.sending), default=None)
        return None if best is None or best.host.sending else best

    # Jobs

    @property
    def waiting(self) -> int:
        """Jobs that wait here for a worker with credit."""
        return sum(map(len, self._queues.values()))

    @property
    def queue_depth(self) -> int:
        """Jobs that wait here, or at a worker by its last status."""
        return self.waiting + sum(worker.queue_depth for worker in self.workers.values())

    def add(self, call: Call) -> None:
        """Queue the jobs of a new call."""
        self._queues[call.work.version].add(call)

    def discard(self, call: Call) -> None:
        """Remove the waiting jobs of a settled call."""
        self._queues[call.work.version].discard(call)
        if not self.waiting:
            self.throughput.end_backlog()

    def withdraw(self, job: PendingJob) -> None:
        """Remove a job that was answered while it waited to be sent again."""
        self._queues[job.call.work.version].withdraw(job)

    def put_back(self, jobs: Iterable[PendingJob]) -> None:
        """Queue jobs again, ahead of all others."""
        for job in jobs:
            self.redispatched += job.wanted and not job.waiting
            self._queues[job.call.work.version].put_back(job)

    def take(self) -> Iterator[tuple[WorkerView, PendingJob]]:
        """Waiting jobs, each with a worker that has credit for it. The caller adds the record before the next one."""
        for version, queue in self._queues.items():
            while queue and (worker := self.select(version)) is not None and (job := queue.take()) is not None:
                yield worker, job

    def waiting_calls(self) -> list[Call]:
        """Calls with jobs that wait here."""
        return [call for queue in self._queues.values() for call in queue.calls()]

    def superseded(self) -> list[Call]:
        """Calls with jobs waiting for a version that no ready worker serves, while others serve another version."""
        calls: list[Call] = []
        if not self.serving():
            return calls
        for version, queue in list(self._queues.items()):
            if not self.ready_for(version):
                calls += queue.calls()
                if not queue:
                    del self._queues[version]
        return calls
