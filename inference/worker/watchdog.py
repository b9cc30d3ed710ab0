"""Finds calls of the model that do not return, and devices that are lost (rule 9)."""

import asyncio
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

USUAL_LIMIT_S = 5.0
TIMES_PREDICTED = 20
MOST_OF_DEADLINE = 1 / 3
"""Bounds the limit: otherwise all jobs behind the call would miss their deadlines."""
LEAST_TIMES_PREDICTED = 3
"""Raises the limit: a model that is slow for its deadline does not hang."""
SHORTEST_LIMIT_S = 1.0
TICK_S = 0.25
LOST = (
    "device-side assert", "illegal memory access", "unspecified launch failure", "illegal instruction",
    "misaligned address", "hardware stack error", "invalid program counter", "uncorrectable", "launch timed out",
    "unknown error",
)  # fmt: skip
"""Words beside "CUDA error" in errors after which every later call of the process fails as well."""


class ModelHangs(Exception):
    """A call took far longer than predicted. The message is one sentence for the operator."""


class DeviceLost(ModelHangs):
    """This process cannot use its device any more. The message is one sentence for the operator."""


def is_device_lost(error: Exception) -> bool:
    """Whether every later call will fail; not after running out of memory, or after a call that the device refuses."""
    message = str(error)
    return isinstance(error, RuntimeError) and "CUDA error" in message and any(words in message for words in LOST)


class Watchdog:
    """Counts the ticks of the event loop during each call.

    It counts ticks instead of reading the clock: if the process was stopped or its loop held up, the model may have
    been, too.

    Args:
        deadline_s: the usual deadline of requests.
    """

    def __init__(self, deadline_s: float) -> None:
        self._most_s = max(SHORTEST_LIMIT_S, MOST_OF_DEADLINE * deadline_s)
        self._ticks = 0
        self._numbers = itertools.count()
        self._under_way: dict[int, tuple[str, int, float]] = {}
        self._lost = ""
        self._never: list[asyncio.Future[NoReturn]] = []

    def limit_s(self, predicted_s: float | None) -> float:
        """How long a call may take; the longest limit if nothing is predicted."""
        if predicted_s is None:
            return self._most_s
        return max(
            min(max(USUAL_LIMIT_S, TIMES_PREDICTED * predicted_s), self._most_s), LEAST_TIMES_PREDICTED * predicted_s
        )

    @contextmanager
    def watching(self, name: str, predicted_s: float | None) -> Iterator[None]:
        """Watch a call for the time of the block."""
        number, limit_s = next(self._numbers), self.limit_s(predicted_s)
        self._under_way[number] = name, self._ticks + math.ceil(limit_s / TICK_S) + 1, limit_s
        try:
            yield
        finally:
            del self._under_way[number]

    async def lose(self, error: Exception) -> NoReturn:
        """Never return: the call that lost the device stays open, like one that hangs, and its jobs stay held."""
        self._lost = self._lost or str(error).partition("\n")[0]
        self._never.append(never := asyncio.get_running_loop().create_future())
        await never
        raise AssertionError

    async def watch(self) -> None:
        """Run until a call hangs or the device is lost.

        Raises:
            ModelHangs: a call has not returned in time.
            DeviceLost: a call has lost the device.
        """
        while True:
            await asyncio.sleep(TICK_S)
            self._ticks += 1
            if self._lost:
                raise DeviceLost(f"The device is lost to this process, which must be started again ({self._lost}).")
            for name, last_tick, limit_s in self._under_way.values():
                if self._ticks >= last_tick:
                    raise ModelHangs(f"A call on thread {name} has not returned for {limit_s:.1f} s: the model hangs.")
