"""The queue of jobs that wait in the web process for a worker: clients take turns."""

from collections import deque
from heapq import heapify, heappop, heappush

from inference.scheduling.calls import Call, PendingJob
from inference.scheduling.priorities import Priorities


class FairQueue:
    """Within a priority, owners take turns, within an owner its keys, within a key its connections, within a connection
    its calls. Without keys, addresses are the owners.

    So neither long lists nor many keys, connections or requests get a client more than its share. Jobs that a worker
    returned come first, ordered by ``PendingJob.__lt__``. Jobs that are no longer wanted (answered, cancelled, expired)
    are skipped.
    """

    def __init__(self) -> None:
        self._returned: list[PendingJob] = []
        self._priorities = Priorities()
        self._length = 0

    def __len__(self) -> int:
        """Jobs that wait."""
        return self._length

    def add(self, call: Call) -> None:
        """Add the jobs of a new call, which has at least one."""
        peer = call.work.peer
        self._priorities.add(peer.priority, (*peer.path, call), deque(call.jobs))
        self._length += len(call.jobs)

    def discard(self, call: Call) -> None:
        """Remove all jobs of a call."""
        peer = call.work.peer
        self._priorities.remove(peer.priority, (*peer.path, call))
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
        while self._returned or self._priorities:
            returned = bool(self._returned)
            job = heappop(self._returned) if returned else self._priorities.take()
            if not job.waiting:
                continue
            self.withdraw(job)
            if job.wanted:
                if not returned:
                    self._priorities.count_turn(job)
                return job
        return None

    def calls(self) -> list[Call]:
        """The calls with waiting jobs."""
        return list(dict.fromkeys(job.call for job in (*self._returned, *self._priorities.jobs()) if job.waiting))
