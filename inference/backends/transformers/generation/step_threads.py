"""How many threads compute a step.

An operator on few tokens is done in tens of microseconds. Waking a second thread for it may take as long, so that one
thread is faster; with more tokens, larger models or more cores it is not. So it is measured.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from inference.backends.base import Turn

SIZES = (1, 4, 16)
"""Texts in the steps that are measured."""
ROUNDS = 3
WORTH_IT = 0.97
"""One thread is used if it takes less than this part of the time; it also leaves the other cores to others."""


class StepThreads:
    """Steps with few tokens run on one thread, if that was found to be faster."""

    def __init__(self) -> None:
        self.alone = 0
        """Tokens up to which they do."""

    @contextmanager
    def of(self, tokens: int) -> Iterator[None]:
        """For a block that computes so many tokens; the thread's setting is as before afterwards."""
        threads = torch.get_num_threads()
        if tokens > self.alone or threads == 1:
            yield
            return
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def measure(self, step: Callable[[int], object], most: int, turn: Turn) -> None:
        """Find ``alone``. ``step`` computes a step with that many texts, of at most ``most``, in a ``turn``."""
        self.alone = 0
        sizes = [size for size in SIZES if size <= most]
        while sizes:  # halved: one thread that is faster with some texts is so with fewer
            middle = len(sizes) // 2
            size = sizes[middle]
            if turn(partial(self._ratio, step, size)) > WORTH_IT:
                del sizes[middle:]
            else:
                self.alone = size
                del sizes[: middle + 1]

    def _ratio(self, step: Callable[[int], object], size: int) -> float:
        """What it takes on one thread, as a part of what it takes on all: the best of several rounds, by turns."""
        all_threads = torch.get_num_threads()
        if all_threads == 1:
            return float("inf")
        seconds = {1: float("inf"), all_threads: float("inf")}
        before, self.alone = self.alone, 0
        try:
            for _ in range(ROUNDS):
                for threads in seconds:
                    torch.set_num_threads(threads)
                    began = time.perf_counter()
                    step(size)
                    seconds[threads] = min(seconds[threads], time.perf_counter() - began)
        finally:
            torch.set_num_threads(all_threads)
            self.alone = before
        return seconds[1] / seconds[all_threads]
