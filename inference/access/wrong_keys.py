"""Wrong keys of each client address: whoever tries many is told to wait."""

import math

from inference.errors import LimitReached

MOST_WRONG = 20
"""Wrong keys from one address within ``WINDOW_S`` that are answered with 401."""
WINDOW_S = 60.0
MOST_ADDRESSES = 10_000


class TooManyWrongKeys(LimitReached):
    """Answers to right keys from the same address are not affected: others may share it."""


class WrongKeys:
    """Counts per address, bounded: beyond ``MOST_ADDRESSES`` the oldest count is dropped. No I/O."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[float, int]] = {}
        """When the first wrong key came, and how many since; in order of the first."""

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, address: str, now: float) -> int:
        """Count another wrong key; returns how many there were in its window. Seconds of any monotonic clock."""
        since, wrong = self._counts.get(address, (now, 0))
        if now - since >= WINDOW_S:
            del self._counts[address]
            since, wrong = now, 0
        if not wrong and len(self._counts) >= MOST_ADDRESSES:
            del self._counts[next(iter(self._counts))]
        self._counts[address] = since, wrong + 1
        return wrong + 1

    def refusal(self, address: str, now: float) -> TooManyWrongKeys:
        """For an address whose count is above ``MOST_WRONG``."""
        since, _ = self._counts[address]
        seconds = max(1, math.ceil(since + WINDOW_S - now))
        sentence = f"More than {MOST_WRONG} wrong keys came from this address in a minute"
        return TooManyWrongKeys(f"{sentence}; try again in {seconds} s.", retry_after_s=seconds)
