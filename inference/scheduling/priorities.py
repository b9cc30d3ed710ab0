"""Waiting jobs by priority: higher ones first, and none waits without end."""

from collections.abc import Hashable, Iterator

from inference.scheduling.calls import PendingJob
from inference.scheduling.round_robin import RoundRobin, Turns

MOST_PASSED = 16
"""Turns that others may have while a priority has jobs. Then it has the next one; of several, the one that has waited
for most turns.

So of ten priorities each that has jobs gets at least one of ``MOST_PASSED + 9`` successive turns: when
``MOST_PASSED`` have passed it by, at most eight others have waited for longer, and each of these has one turn first.
"""


class Priorities:
    """A ring of jobs for each priority that has some."""

    def __init__(self) -> None:
        self._rings: dict[int, RoundRobin] = {}
        self._passed: dict[int, int] = {}
        """Turns of others since its last one, where there are several."""

    def __bool__(self) -> bool:
        return bool(self._rings)

    def add(self, priority: int, path: tuple[Hashable, ...], jobs: Turns) -> None:
        """Add jobs at the end of the round of their priority; ``path`` is that in its ring."""
        ring = self._rings.get(priority)
        if ring is None:
            ring = self._rings[priority] = RoundRobin()
        ring.add(path, jobs)

    def remove(self, priority: int, path: tuple[Hashable, ...]) -> None:
        if ring := self._rings.get(priority):
            ring.remove(path)
            if not ring:
                self._forget(priority)

    def take(self) -> PendingJob:
        """Remove and return the next job. Raises ``KeyError`` if there is none."""
        if len(self._rings) == 1:
            [(priority, ring)] = self._rings.items()
        else:
            priority = self._next()
            ring = self._rings[priority]
        job = ring.take()
        if not ring:
            self._forget(priority)
        return job

    def count_turn(self, job: PendingJob) -> None:
        """A job that was taken has had its turn: it was still wanted."""
        priority = job.call.work.peer.priority
        if not self._passed and (not self._rings or (len(self._rings) == 1 and priority in self._rings)):
            return
        self._passed.pop(priority, None)
        for other in self._rings:
            if other != priority:
                self._passed[other] = self._passed.get(other, 0) + 1

    def jobs(self) -> Iterator[PendingJob]:
        """All jobs, in no particular order."""
        for ring in self._rings.values():
            yield from ring.jobs()

    def _next(self) -> int:
        """Raises ``KeyError`` if there is none."""
        if not self._rings:
            raise KeyError
        longest = max(self._rings, key=lambda priority: (self._passed.get(priority, 0), priority))
        return longest if self._passed.get(longest, 0) >= MOST_PASSED else max(self._rings)

    def _forget(self, priority: int) -> None:
        del self._rings[priority]
        self._passed.pop(priority, None)
