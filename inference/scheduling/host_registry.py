"""The hosts known to a web process, their workers, and its records of the jobs they hold. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from inference.messaging.messages import (
    CostModel,
    Description,
    Facts,
    HostProcess,
    HostStatus,
    State,
    Totals,
    WorkerStatus,
)

MAX_MISSED_PERIODS = 3
"""Whole hello periods without a message from a host, while the layer worked, after which the host is lost."""
TYPICAL_TOKENS = 32
"""Assumed tokens per job of a worker that has run none."""
MAX_DEPARTED = 100
"""Removed workers whose totals are kept."""


@dataclass(slots=True)
class Record:
    """A job sent to a worker; it uses one unit of the worker's credit."""

    worker: "WorkerView"
    stamp: int | None = None
    """Number of the newest hello when the send returned; ``None`` while the send is in progress."""
    go_sent: bool = False
    """The host got ``go`` to run the job alone."""
    size: int = 0
    """Bytes of the job's input and parameters."""


@dataclass(eq=False)
class WorkerView:
    """One worker, that is a pipeline at a host, as seen by this web process."""

    id: str
    host: "HostView"
    pipeline: str
    state: State = "starting"
    reason: str = ""
    version: str = ""
    description: Description | None = None
    facts_n: int = 0
    """Number of the facts that are known."""
    newest_facts_n: int = 0
    asked_at: int = -1
    """Number of the newest hello when its facts were asked for."""
    cost: CostModel | None = None
    job_ms: float = 0.0
    totals: Totals = field(default_factory=Totals)
    credit_limit: int = 0
    credit_bytes: int = 0
    in_flight: int = 0
    """Records of jobs at this worker."""
    bytes_in_flight: int = 0
    queue_depth: int = 0
    share: float = 1.0
    """Part of its host's model time that it got lately."""
    weight: float = 1.0
    prefix_bytes: int = 0
    reading_ms: float = 0.0
    running: int = 0
    """Jobs in its model, of all web processes, by its last status."""
    generation: int | None = None
    """Of the newest order that it has followed; ``None`` where its host follows none."""
    closed: bool = False
    """A send to it failed, or it returned a job: it gets no jobs until its next status."""

    @property
    def ready(self) -> bool:
        return self.state == "ready" and self.description is not None

    @property
    def credit(self) -> int:
        """How many more jobs may be sent to it now."""
        if not self.ready or self.closed or self.host.unresponsive:
            return 0
        if self.bytes_in_flight and self.bytes_in_flight >= self.credit_bytes:
            return 0
        return max(0, self.credit_limit - self.in_flight)

    @property
    def expected_share(self) -> float:
        """Part of its host's model time that it will get: what it got lately, but no more than its weight among the
        workers there that have jobs of this process now. A crowd shows in these before it shows in any status."""
        busy = sum(other.weight for other in self.host.workers.values() if other.in_flight and other is not self)
        return min(self.share, self.weight / (self.weight + busy))

    @property
    def predicted_jobs_per_s(self) -> float:
        """Its speed in full batches by its cost model, or its recent speed if that is lower, in its share of its host
        and divided by the number of web processes that use it; 0 if unknown."""
        if self.cost is None:
            return 0.0
        tokens = self.totals.tokens // self.totals.jobs if self.totals.jobs else TYPICAL_TOKENS
        predicted_ms = self.cost.useful_ms(1, tokens)  # CPU time only; job_ms includes waits
        useful_ms = max(predicted_ms, self.job_ms)
        return 1000 * self.expected_share / useful_ms / self.host.webs if useful_ms else 0.0

    def update(self, status: WorkerStatus) -> None:
        self.state, self.reason, self.credit_limit = status.state, status.reason, status.credit
        self.credit_bytes, self.queue_depth, self.cost = status.credit_bytes, status.queue_depth, status.cost
        self.share, self.weight = status.share, status.weight
        self.prefix_bytes, self.reading_ms, self.running = status.prefix_bytes, status.reading_ms, status.running
        self.job_ms, self.totals, self.newest_facts_n = status.job_ms, status.totals, status.facts_n
        self.version = status.version or self.version
        self.generation = status.generation
        self.closed = False


@dataclass(eq=False)
class HostView:
    """One start of a host, as seen by this web process."""

    id: str
    channel: str
    workers: dict[str, WorkerView] = field(default_factory=dict)
    """By id."""
    records: dict[int, Record] = field(default_factory=dict)
    """By job; jobs of all its workers."""
    state: State = "starting"
    process: HostProcess = field(default_factory=HostProcess)
    webs: int = 1
    sending: bool = False
    pending_want: set[str] = field(default_factory=set)
    """Ids of workers whose facts to ask for with the next send."""
    pending_cancel: set[int] = field(default_factory=set)
    """Ids of jobs to cancel with the next send."""
    pending_go: list[int] = field(default_factory=list)
    """Ids of ``alone`` jobs that may start, to send with the next send."""
    heard: bool = True
    """A message from it arrived in the current hello period."""
    missed_periods: int = 0

    @property
    def unresponsive(self) -> bool:
        """No message from it for a whole period in which the layer worked: jobs sent now might be lost with it."""
        return self.missed_periods > 0 and not self.heard

    @property
    def has_pending_control(self) -> bool:
        """There are messages to send beside jobs."""
        return bool(self.pending_cancel or self.pending_go or self.pending_want)

    def close(self) -> None:
        """A send to it failed."""
        for worker in self.workers.values():
            worker.closed = True


class HostRegistry:
    """Hosts by id, from their first status until they stop or are lost."""

    def __init__(self) -> None:
        self._hosts: dict[str, HostView] = {}
        self._holders: dict[int, int] = {}
        """How many hosts have a record of a job."""
        self._departed: dict[str, Totals] = {}
        """Last totals of removed workers, so that a worker that returns counts only what is new."""

    def __iter__(self) -> Iterator[HostView]:
        return iter(self._hosts.values())

    def __len__(self) -> int:
        return len(self._hosts)

    @property
    def recorded(self) -> int:
        """Records of jobs at all hosts."""
        return sum(self._holders.values())

    def get(self, host_id: str) -> HostView | None:
        return self._hosts.get(host_id)

    def get_or_add(self, status: HostStatus) -> HostView:
        """The host that sent this status, which is not applied yet, and its workers."""
        host = self._hosts.get(status.host)
        if host is None:
            host = self._hosts[status.host] = HostView(status.host, status.channel)
        for worker in status.workers:
            if worker.worker not in host.workers:
                view = host.workers[worker.worker] = WorkerView(worker.worker, host, worker.pipeline)
                view.totals = self._departed.pop(worker.worker, view.totals)
        return host

    def update(self, host: HostView, status: HostStatus) -> list[int]:
        """Apply a status. Returns the ids of jobs that the layer lost (rule 5); their records are removed.

        Workers that it does not name are forgotten. Records of their jobs go as others do.
        """
        host.state, host.webs, host.process, host.heard = status.state, status.webs, status.process, True
        for worker in status.workers:
            view = host.workers[worker.worker]
            view.update(worker)
            # A status that has heard a later hello comes after the facts; without them, question or answer was lost.
            if view.newest_facts_n != view.facts_n and status.heard > view.asked_at:
                host.pending_want.add(view.id)
        for gone in host.workers.keys() - {worker.worker for worker in status.workers}:
            del host.workers[gone]
        held = set(status.held)
        lost = [
            job_id
            for job_id, record in host.records.items()
            if record.stamp is not None and status.heard > record.stamp and job_id not in held
        ]
        for job_id in lost:
            self.drop_record(host, job_id)
        return lost

    def describe(self, facts: Facts) -> WorkerView | None:
        """Apply facts; returns the worker that they are about, if it is known."""
        host = self._hosts.get(facts.host)
        worker = host.workers.get(facts.worker) if host else None
        if host is None or worker is None:
            return None
        host.heard = True
        host.pending_want.discard(worker.id)
        worker.facts_n, worker.description, worker.version = facts.n, facts.description, facts.description.version
        return worker

    def add_record(self, worker: WorkerView, job_id: int, size: int = 0) -> None:
        """The job, of so many bytes, is sent to this worker, at whose host it is not yet."""
        worker.host.records[job_id] = Record(worker, size=size)
        worker.in_flight += 1
        worker.bytes_in_flight += size
        self._holders[job_id] = self._holders.get(job_id, 0) + 1

    def drop_record(self, host: HostView, job_id: int) -> Record | None:
        """Forget that the job is there; returns its record if there was one."""
        if (record := host.records.pop(job_id, None)) is None:
            return None
        record.worker.in_flight -= 1
        record.worker.bytes_in_flight -= record.size
        holders = self._holders.pop(job_id) - 1
        if holders:
            self._holders[job_id] = holders
        return record

    def is_held(self, job_id: int) -> bool:
        """Whether any host has a record of this job."""
        return job_id in self._holders

    def holders(self, job_id: int) -> list[HostView]:
        """The hosts that have a record of this job."""
        return [host for host in self if job_id in host.records] if job_id in self._holders else []

    def remove(self, host: HostView) -> dict[int, Record]:
        """Forget a host; returns its records by job."""
        if self._hosts.pop(host.id, None) is None:
            return {}
        for worker in host.workers.values():
            self._departed[worker.id] = worker.totals
            if len(self._departed) > MAX_DEPARTED:
                del self._departed[next(iter(self._departed))]
        records = dict(host.records)
        for job_id in records:
            self.drop_record(host, job_id)
        return records

    def end_period(self, *, layer_worked: bool) -> list[HostView]:
        """End a hello period; returns the hosts that are now lost. The caller removes them.

        A period in which the web process's own hello did not come back (``layer_worked``) does not count.
        """
        lost = []
        for host in self:
            if host.heard:
                host.missed_periods = 0
            elif layer_worked:
                host.missed_periods += 1
            host.heard = False
            if host.missed_periods >= MAX_MISSED_PERIODS:
                lost.append(host)
        return lost
