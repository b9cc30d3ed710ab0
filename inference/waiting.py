"""Jobs that wait at the dispatcher, beside their clients: calls take turns."""

from collections import deque

from inference.calls import Pending


class WaitingJobs:
    """Calls in a ring; each turn gives one job. Jobs that came back from a worker go first.

    A job that is no longer wanted (answered, cancelled, expired) is skipped when its turn comes.
    """

    def __init__(self) -> None:
        self._returned: deque[Pending] = deque()
        self._ring: deque[deque[Pending]] = deque()

    def add(self, jobs: list[Pending]) -> None:
        """The jobs of a new call."""
        while self._ring and not any(job.wanted for job in self._ring[0]):
            self._ring.popleft()  # settled calls would pile up while no worker takes jobs
        self._ring.append(deque(jobs))

    def put_back(self, jobs: list[Pending]) -> None:
        """To the head, in their order. Jobs that wait already or are not wanted stay out."""
        back = [job for job in jobs if job.wanted and not job.waiting]
        for job in back:
            job.waiting = True
        self._returned.extendleft(reversed(back))

    def take(self) -> Pending | None:
        """The next wanted job."""
        while (job := self._next()) is not None:
            if job.wanted and job.waiting:
                job.waiting = False
                return job
        return None

    def _next(self) -> Pending | None:
        if self._returned:
            return self._returned.popleft()
        if not self._ring:
            return None
        call = self._ring.popleft()
        job = call.popleft()
        if call:
            self._ring.append(call)
        return job
