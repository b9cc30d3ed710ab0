"""Limits of keys: how much each may ask for. ``limit_exchange`` adds what other processes count."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from inference.access.key_counts import KeyCounts
from inference.access.principal import NO_LIMITS, Principal
from inference.access.request_use import UNLIMITED, LimitedUse, RequestUse
from inference.errors import LimitReached, PayloadTooLarge

REQUESTS, UNITS, INPUTS = "requests_per_minute", "units_per_day", "inputs_in_flight"
MINUTE_S, DAY_S = 60, 86_400
IN_FLIGHT_RETRY_S = 1


class LimitState(NamedTuple):
    """Of one limit over a time, for the headers of an answer."""

    name: str
    limit: int
    left: int
    seconds: int
    """Until more is left."""
    window_s: int


class LimitCounters:
    """What the keys of all callers have used; one per web process.

    Args:
        clock: monotonic, in seconds.
        wall_clock: seconds since the epoch; days are those of UTC.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.refused = {REQUESTS: 0, UNITS: 0, INPUTS: 0}
        """Requests, by the limit that they were refused for."""
        self.keys: dict[str, KeyCounts] = {}
        """By the prefix of the key; those with limits only."""
        self.share = 1
        """Of how many processes this one keeps to its part of each limit; 1 while they are in contact."""
        self.clock = clock
        self.day = int(wall_clock() // DAY_S)
        self._wall_clock = wall_clock
        self._used_before: dict[str, int] = {}
        self._numbers = itertools.count(1)

    def begin(self, principal: Principal) -> RequestUse:
        """Count a request.

        Raises:
            LimitReached: it is one too many.
        """
        limits = principal.limits
        if limits == NO_LIMITS:
            return UNLIMITED
        counts, now = self.of_key(principal.key), self.clock()
        if (most := limits.requests_per_minute) is not None and not counts.requests_left(most, now, self.share):
            sentence = f"This key may send {_counted(most, 'request')} per minute"
            raise self._reached(REQUESTS, sentence, counts.seconds_until_request(now) or MINUTE_S)
        if limits.units_per_day is not None:
            self._check_units(counts, limits.units_per_day, 1)
        counts.asked_at = now
        counts.requests.add(now)
        counts.requests_so_far += 1
        return LimitedUse(self, counts, limits)

    def check_inputs(self, counts: KeyCounts, most: int, inputs: int) -> None:
        """Raises ``LimitReached``, or ``PayloadTooLarge`` if the key could never have so many inputs in flight."""
        if inputs > most:
            raise PayloadTooLarge(f"There are {inputs} inputs; this key may have {most} in flight.")
        if inputs > counts.inputs_left(most, self.share):
            sentence = f"This key may have {_counted(most, 'input')} in flight"
            raise self._reached(INPUTS, sentence, IN_FLIGHT_RETRY_S)

    def _check_units(self, counts: KeyCounts, most: int, units: int) -> None:
        """Raises ``LimitReached``."""
        left = counts.units_left(most, self.share)
        if units > left:
            sentence = f"This key may use {_counted(most, 'unit')} per day, and {left} are left"
            raise self._reached(UNITS, sentence, self.seconds_until_tomorrow())

    def reserve(self, counts: KeyCounts, most: int, units: int) -> int:
        """Of a day's units, before it is known how many a request takes; returns how many were reserved.

        A request that may take more than a whole day's is let in while nothing is used. Raises ``LimitReached``.
        """
        units = min(units, most)
        self._check_units(counts, most, units)
        counts.units += units
        return units

    def states(self, principal: Principal) -> Iterator[LimitState]:
        """Of the key's limits over a time."""
        limits = principal.limits
        if limits == NO_LIMITS:
            return
        counts, now = self.of_key(principal.key), self.clock()
        if (most := limits.requests_per_minute) is not None:
            left = counts.requests_left(most, now, self.share)
            yield LimitState(REQUESTS, most, left, counts.seconds_until_request(now), MINUTE_S)
        if (most := limits.units_per_day) is not None:
            yield LimitState(UNITS, most, counts.units_left(most, self.share), self.seconds_until_tomorrow(), DAY_S)

    def of_key(self, key: str) -> KeyCounts:
        self.begin_day()
        counts = self.keys.get(key)
        if counts is None:
            counts = self.keys[key] = KeyCounts(next(self._numbers), self._used_before.get(key, 0))
        return counts

    def at_least(self, day: int, units: Mapping[str, int]) -> None:
        """So many were used on a day, by all processes, as the database says. Call again after contact was lost."""
        self.begin_day()
        if day != self.day:
            return
        self._used_before = dict(units)
        for key, counts in self.keys.items():
            counts.units_elsewhere += max(0, units.get(key, 0) - counts.units_of_all)

    def part(self, processes: int) -> None:
        """The processes, so many, have lost contact."""
        if self.share == 1:
            for counts in self.keys.values():
                counts.units_when_parted = counts.units_of_all
        self.share = max(1, processes)

    def seconds_until_tomorrow(self) -> int:
        return DAY_S - int(self._wall_clock() % DAY_S)

    def begin_day(self) -> None:
        """Forget what was used the day before, if that is over, and keys that nobody uses now."""
        day = int(self._wall_clock() // DAY_S)
        if day == self.day:
            return
        self.day, self._used_before, now = day, {}, self.clock()
        self.keys = {key: counts for key, counts in self.keys.items() if not counts.idle(now)}
        for counts in self.keys.values():
            counts.begin_day()

    def _reached(self, limit: str, sentence: str, seconds: int) -> LimitReached:
        self.refused[limit] += 1
        return LimitReached(f"{sentence}; try again in {seconds} s.", retry_after_s=seconds)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
