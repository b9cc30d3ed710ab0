"""Jobs that wait at the dispatcher, beside their clients: those who ask take turns."""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush

from inference.scheduling.calls import Call, PendingJob


class RoundRobin:
    """Children in a ring, each a ring itself or a call's jobs; each turn gives one job of the next child."""

    def __init__(self) -> None:
        self._children: OrderedDict[Hashable, RoundRobin | deque[PendingJob]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._children)

    def add(self, path: tuple[Hashable, ...], jobs: deque[PendingJob]) -> None:
        """A new child takes its place at the end of the round."""
        name, *rest = path
        if not rest:
            self._children[name] = jobs
            return
        ring = self._children.setdefault(name, RoundRobin())
        assert isinstance(ring, RoundRobin)  # noqa: S101 - all paths are of one length
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
        """The next job. Raises ``KeyError`` if there is none."""
        name, child = self._children.popitem(last=False)
        job = child.take() if isinstance(child, RoundRobin) else child.popleft()
        if child:
            self._children[name] = child
        return job

    def jobs(self) -> Iterator[PendingJob]:
        """All of them."""
        for child in self._children.values():
            yield from child.jobs() if isinstance(child, RoundRobin) else child


class FairQueue:
    """Turns between addresses, within one between its connections, within one between its calls.

    So neither a list, nor many connections, nor many requests at once give anyone more than his turn. Jobs that came
    back from a worker go first, those admitted earliest before the others, in whatever order they came back. A job that
    is no longer wanted (answered, cancelled, expired) is skipped.
    """

    def __init__(self) -> None:
        self._returned: list[PendingJob] = []
        self._turns = RoundRobin()
        self._number = 0

    def __len__(self) -> int:
        """Jobs that wait here."""
        return self._number

    def add(self, call: Call) -> None:
        """A new call, with at least one job."""
        self._turns.add(_path(call), deque(call.jobs))
        self._number += len(call.jobs)

    def discard(self, call: Call) -> None:
        """Its client is answered or gone."""
        self._turns.remove(_path(call))
        for job in call.jobs:
            self.withdraw(job)
        if self._returned:  # the call may have answers of megabytes
            self._returned = [job for job in self._returned if job.call is not call]
            heapify(self._returned)

    def withdraw(self, job: PendingJob) -> None:
        """It was answered while it waited, by a worker that had it before."""
        if job.waiting:
            job.waiting = False
            self._number -= 1

    def put_back(self, job: PendingJob) -> None:
        """Before all that never left. One that waits already or is not wanted stays out."""
        if job.wanted and not job.waiting:
            job.waiting = True
            self._number += 1
            heappush(self._returned, job)

    def take(self) -> PendingJob | None:
        """The next wanted job."""
        while self._returned or self._turns:
            job = heappop(self._returned) if self._returned else self._turns.take()
            if not job.waiting:
                continue
            self.withdraw(job)
            if job.wanted:
                return job
        return None

    def calls(self) -> set[Call]:
        """Those with jobs that wait."""
        return {job.call for job in (*self._returned, *self._turns.jobs()) if job.waiting}


def _path(call: Call) -> tuple[Hashable, ...]:
    return (*call.work.peer, call)
