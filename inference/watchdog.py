"""Notices a call of the model that does not come back (rule 9)."""

import asyncio
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager

LEAST_S = 5.0
TIMES_PREDICTED = 20
OF_DEADLINE = 1 / 3
"""No longer than this, or those that wait behind it would all be too late."""
ALWAYS_PREDICTED = 3
"""But a model that is slow for the deadline that was set does not hang."""
LEAST_OF_ALL_S = 1.0
TICK_S = 0.25


class ModelHangs(Exception):
    """A call took far longer than predicted. The message is one sentence for the operator."""


class Watchdog:
    """Counts for how many ticks of the event loop each call has been under way.

    Ticks, not the clock: while the process was stopped, or its loop held up, the model may have been, too.

    Args:
        deadline_s: of requests, usually.
    """

    def __init__(self, deadline_s: float) -> None:
        self._most_s = max(LEAST_OF_ALL_S, OF_DEADLINE * deadline_s)
        self._ticks = 0
        self._numbers = itertools.count()
        self._under_way: dict[int, tuple[str, int, float]] = {}

    def limit_s(self, predicted_s: float | None) -> float:
        """How long a call may take; the most where nothing is predicted."""
        if predicted_s is None:
            return self._most_s
        return max(min(max(LEAST_S, TIMES_PREDICTED * predicted_s), self._most_s), ALWAYS_PREDICTED * predicted_s)

    @contextmanager
    def watching(self, name: str, predicted_s: float | None) -> Iterator[None]:
        """A call is under way."""
        number, limit_s = next(self._numbers), self.limit_s(predicted_s)
        self._under_way[number] = name, self._ticks + math.ceil(limit_s / TICK_S) + 1, limit_s
        try:
            yield
        finally:
            del self._under_way[number]

    async def bark(self) -> None:
        """Wait for a call that hangs.

        Raises:
            ModelHangs: there is one.
        """
        while True:
            await asyncio.sleep(TICK_S)
            self._ticks += 1
            for name, last_tick, limit_s in self._under_way.values():
                if self._ticks >= last_tick:
                    raise ModelHangs(f"A call on thread {name} has not come back for {limit_s:.1f} s: the model hangs.")
