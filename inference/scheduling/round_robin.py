"""Turns: a ring of those who wait, each of whom may be a ring itself."""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import TypeAlias

from inference.scheduling.calls import PendingJob

Turns: TypeAlias = deque[PendingJob]
"""The jobs of one call, which are taken in order."""


class RoundRobin:
    """A ring of children, each a ring itself or the jobs of one call. Each turn takes one job of the next child."""

    def __init__(self) -> None:
        self._children: OrderedDict[Hashable, RoundRobin | Turns] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._children)

    def add(self, path: tuple[Hashable, ...], jobs: Turns) -> None:
        """Add a child at the end of the round."""
        name, *rest = path
        if not rest:
            self._children[name] = jobs
            return
        ring = self._children.setdefault(name, RoundRobin())
        if not isinstance(ring, RoundRobin):
            raise TypeError("A path goes on where another one ends.")
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
