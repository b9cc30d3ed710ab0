"""Admission: a request is refused, before any work, for lack of permits or because of its predicted wait."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from inference.conf import Conf
from inference.errors import Draining, InferenceError, Loading, NotLoaded, Overloaded, PayloadTooLarge
from inference.scheduling.calls import LOCAL, Peer
from inference.scheduling.permits import Permits
from inference.scheduling.reading_estimate import NONE, Prompts
from inference.scheduling.served_pipeline import ServedPipeline

MAX_WAIT_SHARE = 0.6
"""Longest predicted wait of an admitted request, as a share of its deadline minus the time for its own inputs.
Predictions are inexact, and a queue of this length keeps the workers as busy as a longer one."""
PROCESS_START_S = 2
MAX_RETRY_AFTER_S = 60


class RefusalReason(NamedTuple):
    """Why a request would be refused now."""

    error: type[InferenceError]
    reason: str
    earliest_s: float
    """Seconds until the reason may be gone, at the earliest."""


class Admission:
    """Gives permits for one pipeline, one per input, held until the client is answered or has disconnected.

    Args:
        embedded: this process loads the model when it starts, which ``Retry-After`` includes while it drains.
    """

    def __init__(self, pipeline: ServedPipeline, conf: Conf, *, embedded: bool = False) -> None:
        self.draining = False
        self._pipeline = pipeline
        self._throughput_estimate = pipeline.throughput
        self._conf = conf
        self._embedded = embedded
        self._permits = Permits(conf.max_pending)
        self._last_retry_at = 0.0
        """Time at which the client refused last was told to retry."""
        self._clock = asyncio.get_running_loop().time

    @property
    def pending_inputs(self) -> int:
        """Inputs admitted and not yet answered."""
        return self._permits.in_use

    def predicted_wait_s(self, inputs: int = 1, peer: Peer = LOCAL, prompts: Prompts = NONE) -> float:
        """Predicted time until ``inputs`` more of this peer are answered; 0 if the workers' speed is unknown.

        At least until these prompts have been read. While no job waits here and no throughput was measured,
        nothing else is predicted: what workers report may be measured on single jobs, which take longer than jobs in a
        batch.
        """
        pending, waiting = self._pipeline.pending, self._pipeline.waiting
        reading_s = self._pipeline.reading.wait_s(prompts, self._clock()) + prompts.seconds
        if not (waiting or self._throughput_estimate.measured):
            return reading_s
        ahead = min(pending - waiting + self._permits.inputs_until_answered(peer, inputs), pending + inputs)
        return max(reading_s, self._throughput_estimate.seconds_for(ahead))

    def refusal_reason(
        self, inputs: int = 1, peer: Peer = LOCAL, deadline_s: float | None = None, prompts: Prompts = NONE
    ) -> RefusalReason | None:
        """Why this request would be refused now; ``None`` if it would be admitted."""
        now, deadline_s = self._clock(), deadline_s or self._conf.deadline_s
        outage, seconds_for = self._throughput_estimate.outage, self._throughput_estimate.seconds_for
        outage_s = outage.duration_s(now)
        if self.draining:
            restart_s = PROCESS_START_S + (outage.last_duration_s if self._embedded else 0)
            return RefusalReason(Draining, "This server is stopping", seconds_for(self.pending_inputs) + restart_s)
        if failure := self._pipeline.failure:
            return RefusalReason(NotLoaded, failure, MAX_RETRY_AFTER_S)
        if shortfall := self._permits.shortfall(peer, inputs):
            if outage_s:
                return RefusalReason(Loading, "No worker is ready yet and the queue is full", outage.remaining_s(now))
            return RefusalReason(Overloaded, self._overload(inputs), seconds_for(shortfall))
        if outage_s > max(deadline_s, self._conf.deadline_s):
            return RefusalReason(Loading, f"No worker has been ready for {outage_s:.0f} s", outage.remaining_s(now))
        wait_s = self.predicted_wait_s(inputs, peer, prompts)
        own_s = max(seconds_for(inputs), prompts.seconds)
        max_wait_s = own_s + MAX_WAIT_SHARE * (deadline_s - own_s)
        if own_s < deadline_s and max_wait_s < wait_s:  # a deadline that even an idle server misses ends in 504
            sentence = f"The predicted wait is {wait_s:.1f} s, too long for a deadline of {deadline_s:g} s"
            return RefusalReason(Overloaded, sentence, wait_s - max_wait_s)
        return None

    def check(
        self, inputs: int = 1, peer: Peer = LOCAL, deadline_s: float | None = None, prompts: Prompts = NONE
    ) -> None:
        """Raises ``Overloaded``, ``Loading``, ``NotLoaded`` or ``Draining`` if the request is refused now."""
        if (reason := self.refusal_reason(inputs, peer, deadline_s, prompts)) is None:
            return
        seconds = self._retry_after_s(inputs, reason.earliest_s)
        raise reason.error(f"{reason.reason}; try again in {seconds} s.", retry_after_s=seconds)

    def seconds_until_answered(self, inputs: int) -> int:
        """Whole seconds in which ``inputs`` inputs are likely to be answered, from 1 to ``MAX_RETRY_AFTER_S``."""
        return _whole_seconds(self._throughput_estimate.seconds_for(inputs))

    @contextmanager
    def permits(
        self, inputs: int, peer: Peer = LOCAL, deadline_s: float | None = None, values: Sequence[Any] = ()
    ) -> Iterator[Prompts]:
        """Hold a permit for each input.

        Args:
            inputs: how many, each counted as often as it has answers.
            values: the inputs; as prompts, they are read once.

        Raises:
            PayloadTooLarge: more inputs than one request may have.
            Overloaded, Loading, NotLoaded, Draining: the request may be sent again later.
        """
        if inputs > self._conf.max_inputs:
            raise PayloadTooLarge(f"There are {inputs} inputs; one request may have {self._conf.max_inputs}.")
        reading = self._pipeline.reading
        prompts = reading.of(values)
        self.check(inputs, peer, deadline_s, prompts)
        self._permits.acquire(peer, inputs)
        reading.add(prompts, values, self._clock())
        try:
            yield prompts
        finally:
            self._permits.release(peer, inputs)
            reading.end(prompts, self._clock())

    def _retry_after_s(self, inputs: int, earliest_s: float) -> int:
        """Whole seconds until this request is likely to be admitted.

        Refused clients are told to retry one after the other, at the rate of the workers. If all were told the same
        time, most would be refused again. This line is at most as long as ``max_pending`` inputs take, so clients that
        retry too early do not lengthen it without limit.
        """
        now = self._clock()
        seconds_for = self._throughput_estimate.seconds_for
        retry_s = max(self._last_retry_at - now, earliest_s) + seconds_for(inputs)
        retry_s = min(retry_s, earliest_s + seconds_for(self._conf.max_pending))
        self._last_retry_at = now + retry_s
        return _whole_seconds(retry_s)

    def _overload(self, inputs: int) -> str:
        limit = self._conf.max_pending
        if self.pending_inputs + inputs > limit:
            return f"{self.pending_inputs} inputs are waiting, {limit} are allowed"
        return f"This client would have more than its share of the {limit} inputs allowed"


def _whole_seconds(seconds: float) -> int:
    return min(max(1, math.ceil(seconds)), MAX_RETRY_AFTER_S)
