"""Who gets in: permits, counted in inputs, and the predicted wait. A refusal comes before any work is done."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from inference.conf import Conf
from inference.errors import Draining, InferenceError, Loading, Overloaded, PayloadTooLarge
from inference.scheduling.calls import LOCAL, Peer
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.permits import Permits

OF_DEADLINE = 0.6
"""A request is let in when it is predicted to wait for others at most so much of the time that its own inputs leave of
its deadline. Predictions err, and a queue that is this long keeps the workers as busy as a longer one."""
PROCESS_START_S = 2
MOST_RETRY_AFTER_S = 60


class RefusalReason(NamedTuple):
    """What speaks against letting a request in now."""

    kind: type[InferenceError]
    reason: str
    least_s: float
    """When it may have gone, at the earliest."""


class Admission:
    """A permit is held from admission until the client is answered or gone, and released once.

    Args:
        embedded: a restart of this process loads the model again, which clients are told when it drains.
    """

    def __init__(self, dispatcher: Dispatcher, conf: Conf, *, embedded: bool = False) -> None:
        self.draining = False
        self._dispatcher = dispatcher
        self._throughput_estimate = dispatcher.throughput
        self._conf = conf
        self._embedded = embedded
        self._permits = Permits(conf.max_pending)
        self._next_place_at = 0.0
        self._clock = asyncio.get_running_loop().time

    @property
    def taken(self) -> int:
        """Inputs admitted and not yet answered."""
        return self._permits.taken

    def predicted_wait_s(self, inputs: int = 1, peer: Peer = LOCAL) -> float:
        """Until so many more would be answered; 0 if nothing is known about the workers.

        Also 0 while nothing waits here and the workers were never seen with more to do than they could: what they say
        of themselves may be of single jobs, which take longer than those of a batch.
        """
        pending, waiting = self._dispatcher.pending, self._dispatcher.waiting
        if not (waiting or self._throughput_estimate.observed):
            return 0.0
        ahead = min(pending - waiting + self._permits.ahead(peer, inputs), pending + inputs)
        return self._throughput_estimate.seconds_for(ahead)

    def refusal_reason(
        self, inputs: int = 1, peer: Peer = LOCAL, deadline_s: float | None = None
    ) -> "RefusalReason | None":
        """Why so many inputs would be refused now, if they would."""
        now, deadline_s = self._clock(), deadline_s or self._conf.deadline_s
        outage, seconds_for = self._throughput_estimate.outage, self._throughput_estimate.seconds_for
        lasts_s = outage.lasts_s(now)
        if self.draining:
            restart_s = PROCESS_START_S + (outage.last_s if self._embedded else 0)
            return RefusalReason(Draining, "This server is stopping", seconds_for(self.taken) + restart_s)
        if missing := self._permits.missing(peer, inputs):
            if lasts_s:
                return RefusalReason(Loading, "No worker is ready yet and the queue is full", outage.left_s(now))
            return RefusalReason(Overloaded, self._crowded(inputs), seconds_for(missing))
        if lasts_s > max(deadline_s, self._conf.deadline_s):
            return RefusalReason(Loading, f"No worker has been ready for {lasts_s:.0f} s", outage.left_s(now))
        wait_s = self.predicted_wait_s(inputs, peer)
        own_s = seconds_for(inputs)
        most_s = own_s + OF_DEADLINE * (deadline_s - own_s)
        if own_s < deadline_s and most_s < wait_s:  # one that is too short anyway gets its 504
            sentence = f"The predicted wait is {wait_s:.1f} s, too long for a deadline of {deadline_s:g} s"
            return RefusalReason(Overloaded, sentence, wait_s - most_s)
        return None

    def check(self, inputs: int = 1, peer: Peer = LOCAL, deadline_s: float | None = None) -> None:
        """Raises ``Overloaded``, ``Loading`` or ``Draining`` : the request is refused for now."""
        if (reason := self.refusal_reason(inputs, peer, deadline_s)) is None:
            return
        seconds = self._retry_after_s(inputs, reason.least_s)
        raise reason.kind(f"{reason.reason}; try again in {seconds} s.", retry_after_s=seconds)

    def retry_after_s(self, inputs: int) -> int:
        """Whole seconds in which so many inputs are likely to be answered."""
        return min(max(1, math.ceil(self._throughput_estimate.seconds_for(inputs))), MOST_RETRY_AFTER_S)

    @contextmanager
    def permits(self, inputs: int, peer: Peer = LOCAL, deadline_s: float | None = None) -> Iterator[None]:
        """Hold a permit for each input.

        Raises:
            PayloadTooLarge: more inputs than one request may have.
            Overloaded, Loading, Draining: come back later.
        """
        if inputs > self._conf.max_inputs:
            raise PayloadTooLarge(f"There are {inputs} inputs; one request may have {self._conf.max_inputs}.")
        self.check(inputs, peer, deadline_s)
        self._permits.take(peer, inputs)
        try:
            yield
        finally:
            self._permits.give_back(peer, inputs)

    def _retry_after_s(self, inputs: int, least_s: float) -> int:
        """Whole seconds until such a request is likely to be let in.

        Those who are turned away get places one behind the other, as fast as the workers make room; or all would be
        told the same moment, and most of them turned away again. At most as many stand in line as there are permits:
        who comes unasked does not make the line longer without end.
        """
        now = self._clock()
        line_s = max(self._next_place_at - now, least_s) + self._throughput_estimate.seconds_for(inputs)
        line_s = min(line_s, least_s + self._throughput_estimate.seconds_for(self._conf.max_pending))
        self._next_place_at = now + line_s
        return min(max(1, math.ceil(line_s)), MOST_RETRY_AFTER_S)

    def _crowded(self, inputs: int) -> str:
        most = self._conf.max_pending
        if self.taken + inputs > most:
            return f"{self.taken} inputs are waiting, {most} are allowed"
        return f"This client would have more than its share of the {most} inputs allowed"
