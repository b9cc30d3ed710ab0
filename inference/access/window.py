"""How many requests there were within the last minute. No I/O."""

import math

SECONDS = 60


class Window:
    """A sliding window of whole seconds. Moments are of the caller's monotonic clock.

    What was counted is forgotten 60 to 61 s later, so the number is never less than that of the last 60 s.
    """

    __slots__ = ("_counts", "_number")

    def __init__(self) -> None:
        self._counts: list[list[int]] = []
        """Pairs of a second and the number in it, the oldest first."""
        self._number = 0

    def add(self, now: float, number: int = 1) -> None:
        second = int(now)
        if self._counts and self._counts[-1][0] == second:
            self._counts[-1][1] += number
        else:
            self._counts.append([second, number])
        self._number += number

    def number(self, now: float) -> int:
        oldest = int(now) - SECONDS
        while self._counts and self._counts[0][0] < oldest:
            self._number -= self._counts.pop(0)[1]
        return self._number

    def seconds_until_fewer(self, now: float) -> int:
        """Whole seconds until the oldest of them is forgotten; 0 if there is none."""
        return math.ceil(self._counts[0][0] + SECONDS + 1 - now) if self.number(now) else 0
