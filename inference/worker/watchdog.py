"""Notices a call of the model that does not come back, and a device that is lost (rule 9)."""

import asyncio
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

LEAST_S = 5.0
TIMES_PREDICTED = 20
OF_DEADLINE = 1 / 3
"""No longer than this, or those that wait behind it would all be too late."""
ALWAYS_PREDICTED = 3
"""But a model that is slow for the deadline that was set does not hang."""
LEAST_OF_ALL_S = 1.0
TICK_S = 0.25
LOST = (
    "device-side assert", "illegal memory access", "unspecified launch failure", "illegal instruction",
    "misaligned address", "hardware stack error", "invalid program counter", "uncorrectable", "launch timed out",
    "unknown error",
)  # fmt: skip
"""What CUDA says, beside "CUDA error", when this process cannot use the device any more: each later call fails too."""


class ModelHangs(Exception):
    """A call took far longer than predicted. The message is one sentence for the operator."""


class DeviceLost(ModelHangs):
    """No call of this process comes back from the device any more. The message is one sentence for the operator."""


def is_device_lost(error: Exception) -> bool:
    """Not for running out of memory, nor for a call that the device refuses: these harm nobody else."""
    said = str(error)
    return isinstance(error, RuntimeError) and "CUDA error" in said and any(words in said for words in LOST)


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
        self._lost = ""
        self._never: list[asyncio.Future[NoReturn]] = []

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

    async def lose(self, error: Exception) -> NoReturn:
        """Hold on to the call that lost the device, as to one that hangs: another worker may know how it ends."""
        self._lost = self._lost or str(error).partition("\n")[0]
        self._never.append(never := asyncio.get_running_loop().create_future())
        await never
        raise AssertionError

    async def watch(self) -> None:
        """Wait for a call that hangs.

        Raises:
            ModelHangs: there is one.
            DeviceLost: there will be no other.
        """
        while True:
            await asyncio.sleep(TICK_S)
            self._ticks += 1
            if self._lost:
                raise DeviceLost(f"The device is lost to this process, which must be started again ({self._lost}).")
            for name, last_tick, limit_s in self._under_way.values():
                if self._ticks >= last_tick:
                    raise ModelHangs(f"A call on thread {name} has not come back for {limit_s:.1f} s: the model hangs.")
