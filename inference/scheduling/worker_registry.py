"""The workers known to a web process, and its records of the jobs they hold. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from inference.messaging.messages import CostModel, Description, State, Status, Totals
from inference.scheduling.versions import Versions

MAX_MISSED_PERIODS = 3
"""Whole hello periods without a message from a worker, while the layer worked, after which the worker is lost."""
TYPICAL_TOKENS = 32
"""Assumed tokens per job of a worker that has run none."""
MAX_DEPARTED = 100
"""Removed workers whose totals are kept."""


@dataclass(slots=True)
class Record:
    """A job sent to a worker; it uses one unit of the worker's credit."""

    stamp: int | None = None
    """Number of the newest hello when the send returned; ``None`` while the send is in progress."""
    go_sent: bool = False
    """The worker got ``go`` to run the job alone."""


@dataclass(eq=False)
class WorkerView:
    """One start of a worker, as seen by this web process."""

    id: str
    channel: str
    state: State = "starting"
    description: Description | None = None
    cost: CostModel | None = None
    job_ms: float = 0.0
    totals: Totals = field(default_factory=Totals)
    credit_limit: int = 0
    queue_depth: int = 0
    webs: int = 1
    closed: bool = False
    """A send to it failed, or it returned a job: it gets no jobs until its next status."""
    sending: bool = False
    records: dict[int, Record] = field(default_factory=dict)
    pending_cancel: set[int] = field(default_factory=set)
    """Ids of jobs to cancel with the next send."""
    pending_go: list[int] = field(default_factory=list)
    """Ids of ``alone`` jobs that may start, to send with the next send."""
    heard: bool = True
    """A message from it arrived in the current hello period."""
    missed_periods: int = 0

    @property
    def ready(self) -> bool:
        return self.state == "ready" and self.description is not None

    @property
    def version(self) -> str:
        """Version that it serves; empty while it loads."""
        return self.description.version if self.description else ""

    @property
    def unresponsive(self) -> bool:
        """No message from it for a whole period in which the layer worked: jobs sent now might be lost with it."""
        return self.missed_periods > 0 and not self.heard

    @property
    def credit(self) -> int:
        """How many more jobs may be sent to it now."""
        if not self.ready or self.closed or self.unresponsive:
            return 0
        return max(0, self.credit_limit - len(self.records))

    @property
    def predicted_jobs_per_s(self) -> float:
        """Its speed in full batches by its cost model, or its recent speed if that is lower, divided by the number of
        web processes that use it; 0 if unknown."""
        if self.cost is None:
            return 0.0
        tokens = self.totals.tokens // self.totals.jobs if self.totals.jobs else TYPICAL_TOKENS
        predicted_ms = self.cost.useful_ms(1, tokens)  # CPU time only; job_ms includes waits
        useful_ms = max(predicted_ms, self.job_ms)
        return 1000 / useful_ms / self.webs if useful_ms else 0.0

    @property
    def has_pending_control(self) -> bool:
        """There are ``go`` or ``cancel`` messages to send."""
        return bool(self.pending_cancel or self.pending_go)

    def update(self, status: Status) -> list[int]:
        """Apply a status. Returns the ids of jobs that the layer lost (rule 5); their records are removed."""
        self.state, self.cost, self.credit_limit = status.state, status.cost, status.credit
        self.queue_depth, self.webs = status.queue_depth, status.webs
        self.job_ms, self.totals = status.job_ms, status.totals
        self.description = status.description or self.description
        self.closed = False
        held = set(status.held)
        lost = [
            job_id
            for job_id, record in self.records.items()
            if record.stamp is not None and status.heard > record.stamp and job_id not in held
        ]
        for job_id in lost:
            del self.records[job_id]
        return lost


class WorkerRegistry:
    """Workers by id, from their first status until they stop or are lost."""

    def __init__(self) -> None:
        self._workers: dict[str, WorkerView] = {}
        self._departed: dict[str, Totals] = {}
        """Last totals of removed workers, so that a worker that returns counts only what is new."""
        self._versions = Versions()

    def __iter__(self) -> Iterator[WorkerView]:
        return iter(self._workers.values())

    def __len__(self) -> int:
        return len(self._workers)

    def get(self, worker_id: str) -> WorkerView | None:
        return self._workers.get(worker_id)

    def get_or_add(self, status: Status) -> WorkerView:
        """The worker that sent this status, which is not applied yet."""
        worker = self._workers.get(status.worker)
        if worker is None:
            worker = self._workers[status.worker] = WorkerView(status.worker, status.channel)
            worker.totals = self._departed.pop(status.worker, worker.totals)
        return worker

    def remove(self, worker: WorkerView) -> None:
        if self._workers.pop(worker.id, None) is None:
            return
        self._departed[worker.id] = worker.totals
        if len(self._departed) > MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]

    @property
    def description(self) -> Description | None:
        """What new requests are for; while no worker is ready, what they were for last."""
        return self._versions.served

    def serving(self) -> list[WorkerView]:
        """Ready workers of the version that new requests are for."""
        return [] if self.description is None else self.ready_for(self.description.version)

    def ready_for(self, version: str) -> list[WorkerView]:
        return [worker for worker in self if worker.ready and worker.version == version]

    def other_versions(self) -> list[WorkerView]:
        """Ready workers of versions that get no new requests."""
        served = self.description
        return [worker for worker in self if worker.ready and served is not None and worker.version != served.version]

    def update_version(self, now: float) -> None:
        """Decide anew which version new requests are for. Call on each status, and periodically."""
        self._versions.update([worker.description for worker in self if worker.ready and worker.description], now)

    def is_held(self, job_id: int) -> bool:
        """Whether any worker has a record of this job."""
        return any(job_id in worker.records for worker in self)

    def select(self, version: str) -> WorkerView | None:
        """The worker for the next job: the one with most credit.

        None while a send to that one is in progress: otherwise a burst would go to workers with less credit.
        """
        candidates = [worker for worker in self.ready_for(version) if worker.credit]
        best = max(candidates, key=lambda worker: (worker.credit, not worker.sending), default=None)
        return None if best is None or best.sending else best

    def end_period(self, now: float, *, layer_worked: bool) -> list[WorkerView]:
        """End a hello period; returns the workers that are now lost, after removing all of them.

        A period in which the web process's own hello did not come back (``layer_worked``) does not count.
        """
        lost = []
        for worker in list(self):
            if worker.heard:
                worker.missed_periods = 0
            elif layer_worked:
                worker.missed_periods += 1
            worker.heard = False
            if worker.missed_periods >= MAX_MISSED_PERIODS:
                self.remove(worker)
                self._versions.worker_lost(worker.version, now)
                lost.append(worker)
        self.update_version(now)
        return lost
