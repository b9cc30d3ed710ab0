"""Jobs that wait at the dispatcher, beside their clients: those who ask take turns."""

from collections import OrderedDict, deque
from collections.abc import Hashable

from inference.calls import Call, Pending


class Turns:
    """Children in a ring, each a ring itself or a call's jobs; each turn gives one job of the next child."""

    def __init__(self) -> None:
        self._children: OrderedDict[Hashable, Turns | deque[Pending]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._children)

    def add(self, path: tuple[Hashable, ...], jobs: deque[Pending]) -> None:
        """A new child takes its place at the end of the round."""
        name, *rest = path
        if not rest:
            self._children[name] = jobs
            return
        ring = self._children.setdefault(name, Turns())
        assert isinstance(ring, Turns)  # noqa: S101 - all paths are of one length
        ring.add(tuple(rest), jobs)

    def remove(self, path: tuple[Hashable, ...]) -> None:
        name, *rest = path
        child = self._children.get(name)
        if rest and isinstance(child, Turns):
            child.remove(tuple(rest))
            if child:
                return
        self._children.pop(name, None)

    def take(self) -> Pending:
        """The next job. Raises ``KeyError`` if there is none."""
        name, child = self._children.popitem(last=False)
        job = child.take() if isinstance(child, Turns) else child.popleft()
        if child:
            self._children[name] = child
        return job


class WaitingJobs:
    """Turns between addresses, within one between its connections, within one between its calls.

    So neither a list, nor many connections, nor many requests at once give anyone more than his turn. Jobs that came
    back from a worker go first. A job that is no longer wanted (answered, cancelled, expired) is skipped.
    """

    def __init__(self) -> None:
        self._returned: deque[Pending] = deque()
        self._turns = Turns()

    def add(self, call: Call) -> None:
        """A new call, with at least one job."""
        self._turns.add(_path(call), deque(call.jobs))

    def discard(self, call: Call) -> None:
        """Its client is answered or gone."""
        self._turns.remove(_path(call))

    def put_back(self, jobs: list[Pending]) -> None:
        """To the head, in their order. Jobs that wait already or are not wanted stay out."""
        back = [job for job in jobs if job.wanted and not job.waiting]
        for job in back:
            job.waiting = True
        self._returned.extendleft(reversed(back))

    def take(self) -> Pending | None:
        """The next wanted job."""
        while self._returned or self._turns:
            job = self._returned.popleft() if self._returned else self._turns.take()
            if job.wanted and job.waiting:
                job.waiting = False
                return job
        return None


def _path(call: Call) -> tuple[Hashable, ...]:
    return (*call.peer, call)
