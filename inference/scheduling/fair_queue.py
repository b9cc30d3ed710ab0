"""The queue of jobs that wait in the web process for a worker: clients take turns."""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush

from inference.scheduling.calls import Call, PendingJob


class RoundRobin:
    """A ring of children, each a ring itself or the jobs of one call. Each turn takes one job of the next child."""

    def __init__(self) -> None:
        self._children: OrderedDict[Hashable, RoundRobin | deque[PendingJob]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._children)

    def add(self, path: tuple[Hashable, ...], jobs: deque[PendingJob]) -> None:
        """Add a child at the end of the round."""
        name, *rest = path
        if not rest:
            self._children[name] = jobs
            return
        ring = self._children.setdefault(name, RoundRobin())
        if not isinstance(ring, RoundRobin):
            raise TypeError("All paths must have the same length.")
        ring.add(tuple(rest), jobs)

    def remove(self, path: tuple[Hashable, ...]) -> None:
        name, *rest = path
        child = self._children.get(name)
        if rest and isinstance(child, RoundRobin):
            child.remove(tuple(rest))
            if child:
                return
        self._children.pop(name, None)

    def take(self) -> PendingJob:
        """Remove and return the next job. Raises ``KeyError`` if there is none."""
        name, child = self._children.popitem(last=False)
        job = child.take() if isinstance(child, RoundRobin) else child.popleft()
        if child:
            self._children[name] = child
        return job

    def jobs(self) -> Iterator[PendingJob]:
        """All jobs, in no particular order."""
        for child in self._children.values():
            yield from child.jobs() if isinstance(child, RoundRobin) else child


class FairQueue:
    """Addresses take turns, within an address its connections, within a connection its calls.

    So neither long lists nor many connections or requests get a client more than its share. Jobs that a worker returned
    come first, ordered by ``PendingJob.__lt__``. Jobs that are no longer wanted (answered, cancelled, expired) are
    skipped.
    """

    def __init__(self) -> None:
        self._returned: list[PendingJob] = []
        self._round_robin = RoundRobin()
        self._length = 0

    def __len__(self) -> int:
        """Jobs that wait."""
        return self._length

    def add(self, call: Call) -> None:
        """Add the jobs of a new call, which has at least one."""
        self._round_robin.add(_path(call), deque(call.jobs))
        self._length += len(call.jobs)

    def discard(self, call: Call) -> None:
        """Remove all jobs of a call."""
        self._round_robin.remove(_path(call))
        for job in call.jobs:
            self.withdraw(job)
        if self._returned:  # frees the call's answers, which may be megabytes
            self._returned = [job for job in self._returned if job.call is not call]
            heapify(self._returned)

    def withdraw(self, job: PendingJob) -> None:
        """Remove a job, if it waits."""
        if job.waiting:
            job.waiting = False
            self._length -= 1

    def put_back(self, job: PendingJob) -> None:
        """Add a job that left before, ahead of those that never left; no effect if it waits or is not wanted."""
        if job.wanted and not job.waiting:
            job.waiting = True
            self._length += 1
            heappush(self._returned, job)

    def take(self) -> PendingJob | None:
        """Remove and return the next wanted job."""
        while self._returned or self._round_robin:
            job = heappop(self._returned) if self._returned else self._round_robin.take()
            if not job.waiting:
                continue
            self.withdraw(job)
            if job.wanted:
                return job
        return None

    def calls(self) -> list[Call]:
        """The calls with waiting jobs."""
        return list(dict.fromkeys(job.call for job in (*self._returned, *self._round_robin.jobs()) if job.waiting))


def _path(call: Call) -> tuple[Hashable, ...]:
    return (*call.work.peer, call)
