"""Turns: which pipeline of a host uses the executors next (rule 15).

The method is start-time fair queueing (Goyal, Vin and Cheng, 1997, https://doi.org/10.1109/90.649569): a pipeline's
next batch has a start tag, the sum of the model time that it received so far divided by its weight, but never less than
the tag of the batch that was started last. The lowest tag is next. What a batch takes is predicted when it starts and
corrected when it has ended.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from inference.worker.executors import Executors, ThreadExecutor

TURN_MS = 100.0
"""Longest predicted batch while another pipeline waits: so long it waits at most, beside what runs already."""
SHARE_WINDOW_S = 3.0
"""Time over which a pipeline's share of the model time is measured."""


@dataclass(slots=True)
class Running:
    """A batch on a thread, in seconds of the whole host."""

    predicted_s: float
    used_s: float = 0.0


class Turns:
    """The pipelines of one host take turns on its executors. Lives on the event loop."""

    def __init__(self, executors: Executors) -> None:
        self.executors = executors
        self.clock = asyncio.get_running_loop().time
        self.virtual_s = 0.0
        """Start tag of the batch that was started last."""
        self._shares: list[Share] = []
        self._accounted_at = self.clock()

    def join(self, weight: float = 1.0) -> "Share":
        """A pipeline's share; twice the weight gets twice the time while both have work."""
        share = Share(self, weight)
        self._shares.append(share)
        return share

    def leave(self, share: "Share") -> None:
        self._shares.remove(share)
        self.look()

    def look(self) -> None:
        """Let the pipelines start what they have, by their turns. One that needs a busy thread gets it next."""
        for share in sorted(self._shares, key=lambda share: share.start_tag):
            if not share.start():
                return

    def guaranteed(self, share: "Share") -> float:
        """The part of the model time that a pipeline gets while all have work."""
        return share.weight / sum(other.weight for other in self._shares)

    def used(self, share: "Share", seconds: float) -> None:
        for other in self._shares:
            if other is not share:
                other.others_took(seconds)

    def account(self) -> None:
        """Divide the time since the last call between the batches that run: call before one starts or has ended.

        So a core that is idle because a batch beside it has ended earlier is paid by the pipeline that the others wait
        for.
        """
        now = self.clock()
        running = [batch for share in self._shares for batch in share.running.values()]
        for batch in running:
            batch.used_s += (now - self._accounted_at) / len(running)
        self._accounted_at = now

    def contended(self, share: "Share") -> bool:
        """Whether another pipeline has work."""
        return any(other.has_work() for other in self._shares if other is not share)


class Share:
    """What one pipeline gets of the executors. Its runner sets ``start`` and ``has_work``."""

    def __init__(self, turns: Turns, weight: float) -> None:
        self.start: Callable[[], bool] = lambda: True
        """Start batches on free threads, as many as there are. False if a batch waits for a thread that is busy."""
        self.has_work: Callable[[], bool] = lambda: False
        """Whether anything waits or runs."""
        self.executors = turns.executors
        self._turns = turns
        self.weight = weight
        self.running: dict[ThreadExecutor, Running] = {}
        self._finish_s = 0.0
        self._received_s = self._others_s = 0.0
        self._measured_at = turns.clock()

    @property
    def start_tag(self) -> float:
        return max(self._turns.virtual_s, self._finish_s)

    @property
    def contended(self) -> bool:
        """Another pipeline has work: batches are bounded by ``TURN_MS``."""
        return self._turns.contended(self)

    def look(self) -> None:
        self._turns.look()

    def free(self, *, narrow: bool) -> ThreadExecutor | None:
        """See ``Executors.free``."""
        return self.executors.free(narrow=narrow)

    def take(self, thread: ThreadExecutor, predicted_ms: float = 0.0) -> None:
        """Begin a batch on a free thread."""
        self._turns.account()
        self.executors.take(thread)
        predicted_s = predicted_ms / 1000 * self.executors.part(thread)
        self._turns.virtual_s = self.start_tag
        self._finish_s = self._turns.virtual_s + predicted_s / self.weight
        self.running[thread] = Running(predicted_s)

    def give_back(self, thread: ThreadExecutor, *, look: bool = True) -> None:
        """The batch has ended; whoever is next may start.

        ``look=False``: the caller asks for its next turn at once, so that its own place counts as well.
        """
        self._turns.account()
        self.executors.give_back(thread)
        batch = self.running.pop(thread)
        self._finish_s += (batch.used_s - batch.predicted_s) / self.weight
        self._received_s += batch.used_s
        self._turns.used(self, batch.used_s)
        if look:
            self._turns.look()

    async def turn(self, predicted_ms: float = 0.0, *, narrow: bool = False) -> ThreadExecutor:
        """Wait for the turn, and take a thread, for a runner that has one batch at a time.

        It is the one with all cores, or with ``narrow`` one with part of them while another pipeline has work: side by
        side both lose less than by turns, in which threads fall asleep and caches are filled anew.
        """
        granted: asyncio.Future[ThreadExecutor] = asyncio.get_running_loop().create_future()

        def start() -> bool:
            if granted.done():
                return True
            if (thread := self.free(narrow=narrow and self.contended)) is None:
                return False
            self.take(thread, predicted_ms)
            granted.set_result(thread)
            return True

        self.start = start
        self._turns.look()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.give_back(granted.result())
            raise
        finally:
            self.start = lambda: True

    def measure(self) -> float:
        """Part of the host's model time that it received while it had work, lately; 1 if no other pipeline took any.

        At least what its weight guarantees, also if it has just begun to want more.
        """
        now = self._turns.clock()
        keep = max(0.0, 1 - (now - self._measured_at) / SHARE_WINDOW_S)
        self._measured_at = now
        total_s = self._received_s + self._others_s
        share = max(self._turns.guaranteed(self), self._received_s / total_s) if self._others_s else 1.0
        self._received_s, self._others_s = self._received_s * keep, self._others_s * keep
        return share

    def others_took(self, seconds: float) -> None:
        if self.has_work():
            self._others_s += seconds
