"""What web processes tell each other of the use of keys, twice a second, so that their limits are those of all."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from typing import Protocol

import msgspec
from django.db import connections

from inference.access.limits import MINUTE_S, LimitCounters
from inference.messaging.cancellation import cancel_and_wait

logger = logging.getLogger(__name__)

PERIOD_S = 0.5
"""What a process counts is known to the others within twice this time."""
RECENT_S = 600
"""How long after its last request a key is told of. Longer losses of contact are made up for by the database."""
GONE_AFTER = 10
"""Exchanges without anything new of a process, after which it has ended."""
REMOVED_AFTER = 120
DATABASE_RETRY_S = 10.0
EPOCH = date(1970, 1, 1)

UsedOn = Callable[[date], Mapping[str, int]]
"""Units that the database has of a day in UTC, by the prefix of the key. Called on a thread."""


class Values(Protocol):
    """``messaging.shared_values.SharedValues``."""

    async def exchange(self, value: bytes) -> dict[str, bytes]: ...
    async def remove(self, *members: str) -> None: ...


class Figures(msgspec.Struct, array_like=True, frozen=True):
    """Of one key at one process: all its requests, units of the day, inputs in flight."""

    counts: int
    """Number of its ``KeyCounts``: with another one, requests begin at 0."""
    requests: int
    units: int
    in_flight: int


NOTHING = Figures(0, 0, 0, 0)


class Told(msgspec.Struct, array_like=True, frozen=True):
    """What a process tells of itself; ``n`` counts."""

    n: int
    day: int
    keys: dict[str, Figures]


_decoder = msgspec.msgpack.Decoder(Told)


class Other:
    """Another process, as it told of itself."""

    def __init__(self) -> None:
        self.n = 0
        self.day = 0
        self.unchanged = 0
        """Exchanges since it told anything new."""
        self.known: dict[str, Figures] = {}
        """Of each key, what it told last."""

    def hear(self, told: Told) -> None:
        self.unchanged = self.unchanged + 1 if told.n == self.n else 0
        self.n = told.n
        if told.day != self.day:
            self.day = told.day
            self.known = {key: _of_no_day(known) for key, known in self.known.items()}


class LimitExchange:
    """Tells of ``counters`` and adds to them what other processes tell; one task of the event loop.

    Args:
        values: ``None`` where there is only this process, or the layer cannot share.
    """

    def __init__(
        self, counters: LimitCounters, member: str, values: Values | None, used_on: UsedOn | None = None
    ) -> None:
        self._counters = counters
        self._member = member
        self._values = values
        self._used_on = used_on
        self._others: dict[str, Other] = {}
        self._n = 0
        self._met = False
        """It has heard of the others since it started."""
        self._heard_at = counters.clock()
        self._reads_at = 0.0
        """When the database is asked next."""
        self._processes = 1
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            await cancel_and_wait([self._task])
        if self._values is not None:
            with suppress(Exception):
                await self._values.remove(self._member)

    async def _run(self) -> None:
        while self._values is not None or self._used_on is not None:
            try:
                await self.once()
            except Exception:
                logger.exception("What other processes count of keys could not be read")
            await asyncio.sleep(PERIOD_S)

    async def once(self) -> None:
        if self._used_on is not None and self._counters.clock() >= self._reads_at:
            await self._read(self._used_on)
        if self._values is None:
            return
        try:
            found = await self._values.exchange(self._own())
        except Exception as error:
            self._lose_contact(error)
            return
        self._hear(found)
        gone = [member for member, other in self._others.items() if other.unchanged >= REMOVED_AFTER]
        for member in gone:
            del self._others[member]
        if gone:
            with suppress(Exception):
                await self._values.remove(*gone)

    async def _read(self, used_on: UsedOn) -> None:
        """Until it succeeds, and again after a long loss of contact. What is not known counts as not used."""
        day = self._counters.day
        try:
            units = await asyncio.to_thread(_read_and_close, used_on, EPOCH + timedelta(days=day))
            self._counters.at_least(day, units)
        except Exception as error:
            logger.debug("What was used today could not be read: %r", error)
            self._reads_at = self._counters.clock() + DATABASE_RETRY_S
        else:
            self._reads_at = float("inf")

    def _own(self) -> bytes:
        self._counters.begin_day()
        self._n += 1
        since = self._counters.clock() - RECENT_S
        keys = {
            key: Figures(counts.number, counts.requests_so_far, counts.units, counts.in_flight)
            for key, counts in self._counters.keys.items()
            if counts.in_flight or counts.asked_at > since
        }
        return msgspec.msgpack.encode(Told(self._n, self._counters.day, keys))

    def _lose_contact(self, error: Exception) -> None:
        if self._counters.share == 1 and self._processes > 1:
            logger.warning(
                "Limits of keys are not counted together with those of %d other processes (%s); each allows its part",
                self._processes - 1,
                type(error).__name__,
            )
        self._counters.part(self._processes)

    def _hear(self, found: Mapping[str, bytes]) -> None:
        counters, now = self._counters, self._counters.clock()
        if counters.share > 1:
            logger.warning("Limits of keys are counted together again")
        if now - self._heard_at > RECENT_S:
            self._reads_at = now
        for counts in counters.keys.values():
            counts.in_flight_elsewhere = 0
        running = [self._hear_of(member, value, now) for member, value in found.items() if member != self._member]
        counters.share, self._processes = 1, 1 + sum(running)
        self._heard_at, self._met = now, True

    def _hear_of(self, member: str, value: bytes, now: float) -> bool:
        """Whether that process still runs."""
        try:
            told = _decoder.decode(value)
        except msgspec.MsgspecError:  # of another release
            return True
        other = self._others.setdefault(member, Other())
        other.hear(told)
        if other.unchanged >= GONE_AFTER:
            return False
        # What it had counted before this process first heard of it is in the database, or was more than a moment ago.
        same_day = told.day == self._counters.day
        counts_units = same_day and (self._met or self._used_on is None)
        for key, figures in told.keys.items():
            known = other.known.get(key, NOTHING)
            if figures == known and not figures.in_flight:
                continue
            counts = self._counters.of_key(key)
            counts.in_flight_elsewhere += figures.in_flight
            requests = figures.requests - (known.requests if figures.counts == known.counts else 0)
            if self._met and requests:
                counts.requests_elsewhere.add(now, self._lately(requests, now))
            if counts_units:
                counts.units_elsewhere += figures.units - known.units
            other.known[key] = figures if same_day else _of_no_day(figures)
        return True

    def _lately(self, requests: int, now: float) -> int:
        """How many of those since the last exchange were in the last minute, if they came evenly."""
        return math.ceil(requests * min(1.0, MINUTE_S / max(1.0, now - self._heard_at)))


def _of_no_day(figures: Figures) -> Figures:
    return msgspec.structs.replace(figures, units=0)


def _read_and_close(used_on: UsedOn, day: date) -> Mapping[str, int]:
    try:
        return used_on(day)
    finally:
        connections.close_all()
