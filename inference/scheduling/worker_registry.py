"""The workers that a web process knows, and its records of the jobs that they hold. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from inference.messaging.messages import CostModel, Description, State, Status, Totals
from inference.scheduling.versions import Versions

SILENT_PERIODS = 3
"""Whole hello periods without a word, while the layer worked, after which a worker is lost."""
TYPICAL_TOKENS = 32
"""Of a job, until there were some."""
MOST_GONE = 100
"""Workers that are remembered after they have gone."""


@dataclass(slots=True)
class Record:
    """A job that was sent to a worker: one unit of its credit is in use."""

    stamp: int | None = None
    """Number of the newest hello when the send returned; ``None`` while it is under way."""
    went: bool = False
    """The worker was given ``go`` to run it alone."""


@dataclass(eq=False)
class WorkerView:
    """One start of a worker, as this web process sees it."""

    id: str
    channel: str
    state: State = "starting"
    description: Description | None = None
    cost: CostModel | None = None
    job_ms: float = 0.0
    totals: Totals = field(default_factory=Totals)
    ceiling: int = 0
    queue_depth: int = 0
    webs: int = 1
    closed: bool = False
    """It refused something: nothing more is sent to it until its next status."""
    sending: bool = False
    records: dict[int, Record] = field(default_factory=dict)
    cancels: set[int] = field(default_factory=set)
    goes: list[int] = field(default_factory=list)
    heard: bool = True
    silent_periods: int = 0

    @property
    def ready(self) -> bool:
        return self.state == "ready" and self.description is not None

    @property
    def version(self) -> str:
        """Of what it serves; empty while it loads."""
        return self.description.version if self.description else ""

    @property
    def silent(self) -> bool:
        """The layer worked for a whole period without a word from it: what it were sent might be lost with it."""
        return self.silent_periods > 0 and not self.heard

    @property
    def credit(self) -> int:
        """How many more jobs it may be sent now."""
        if not self.ready or self.closed or self.silent:
            return 0
        return max(0, self.ceiling - len(self.records))

    @property
    def promised_jobs_per_s(self) -> float:
        """Its share for this web process of what it does in full batches by its cost model, or of what it did lately; 0
        if that is not known. Others may ask as much as this one."""
        if self.cost is None:
            return 0.0
        tokens = self.totals.tokens // self.totals.jobs if self.totals.jobs else TYPICAL_TOKENS
        useful_ms = max(self.cost.useful_ms(1, tokens), self.job_ms)  # of CPU alone; and with all waits, lately
        return 1000 / useful_ms / self.webs if useful_ms else 0.0

    @property
    def has_words(self) -> bool:
        """Something other than jobs waits to be told to it."""
        return bool(self.cancels or self.goes)

    def update(self, status: Status) -> list[int]:
        """Take a status; the ids of jobs that the layer lost, by rule 5, whose records are freed."""
        self.state, self.cost, self.ceiling = status.state, status.cost, status.credit
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
    """Workers by id. A worker appears with its first status and goes when it stops or is lost."""

    def __init__(self) -> None:
        self._workers: dict[str, WorkerView] = {}
        self._gone: dict[str, Totals] = {}
        self._versions = Versions()

    def __iter__(self) -> Iterator[WorkerView]:
        return iter(self._workers.values())

    def __len__(self) -> int:
        return len(self._workers)

    def get(self, worker_id: str) -> WorkerView | None:
        return self._workers.get(worker_id)

    def meet(self, status: Status) -> WorkerView:
        """The worker that sent this status."""
        worker = self._workers.get(status.worker)
        if worker is None:
            worker = self._workers[status.worker] = WorkerView(status.worker, status.channel)
            worker.totals = self._gone.pop(status.worker, worker.totals)
        return worker

    def remove(self, worker: WorkerView) -> None:
        if self._workers.pop(worker.id, None) is None:
            return
        self._gone[worker.id] = worker.totals  # a late status, or one that was not lost after all, counts nothing twice
        if len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]

    @property
    def description(self) -> Description | None:
        """What is served to new requests, or was last."""
        return self._versions.served

    def serving(self) -> list[WorkerView]:
        """Ready workers that new requests may go to."""
        return [] if self.description is None else self.ready_for(self.description.version)

    def ready_for(self, version: str) -> list[WorkerView]:
        return [worker for worker in self if worker.ready and worker.version == version]

    def others(self) -> list[WorkerView]:
        """Ready workers that serve something else than new requests are for."""
        served = self.description
        return [worker for worker in self if worker.ready and served is not None and worker.version != served.version]

    def look(self, now: float) -> None:
        """Decide anew what is served. Call when something was heard of a worker, and now and then."""
        self._versions.look([worker.description for worker in self if worker.ready and worker.description], now)

    def held_elsewhere(self, job_id: int) -> bool:
        return any(job_id in worker.records for worker in self)

    def freest(self, version: str) -> WorkerView | None:
        """The worker with most credit left; none while that one is being sent to, or a burst would go to the others."""
        able = [worker for worker in self.ready_for(version) if worker.credit]
        best = max(able, key=lambda worker: (worker.credit, not worker.sending), default=None)
        return None if best is None or best.sending else best

    def end_period(self, now: float, *, layer_worked: bool) -> list[WorkerView]:
        """Close a hello period; the workers that are now lost, already removed.

        A period in which the web's own hello did not come back says nothing about workers.
        """
        lost = []
        for worker in list(self):
            if worker.heard:
                worker.silent_periods = 0
            elif layer_worked:
                worker.silent_periods += 1
            worker.heard = False
            if worker.silent_periods >= SILENT_PERIODS:
                self.remove(worker)
                self._versions.lost(worker.version, now)
                lost.append(worker)
        self.look(now)
        return lost
