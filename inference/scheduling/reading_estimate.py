"""How long workers will read the prompts that were admitted before. No I/O. Times are seconds of the caller's clock."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from inference.scheduling.host_registry import WorkerView

BLOCK = 128
"""Bytes of an input that are compared with those of earlier ones."""
MOST_BLOCKS = 8192
"""That are remembered: a megabyte of prompts."""
TOKENS_PER_BYTE, GUESSED_BYTES = 0.25, 2000
"""Until some prompts have been read: as if so many bytes had been. Short prompts say little of what long ones cost."""
MEMORY = 0.9
"""Weight of earlier requests when one was answered."""
ALIKE = 1.1
"""Times its own length that a prompt has which is read before another one that came later."""
BESIDE_OLDEST = 2.0
"""Workers read the shortest prompts first, but half of the time the oldest one."""
STRETCH = 5 / 3
"""Time that a second of reading takes beside running texts: three fifths of such a step are for prompts, see
``worker.batching.prompt_pace``."""


@dataclass(eq=False, slots=True)
class Prompts:
    """Of one request."""

    size: int
    """Bytes that no earlier request began with."""
    seconds: float
    """That they are expected to take."""
    begins_at: float = 0.0
    ends_at: float = 0.0

    def left_s(self, now: float) -> float:
        return max(0.0, self.ends_at - max(now, self.begins_at))


NONE = Prompts(0, 0.0)


class ReadingEstimate:
    """Prompts are read one after the other, the shortest first, at the speed of those before.

    A web process has no tokenizer, so it counts bytes; what they cost is learnt from answers. What other requests have
    begun with is counted once, as workers read it once. It is remembered by hashes: one that is wrong does no harm.

    Args:
        serving: the ready workers that new requests are sent to.
    """

    def __init__(self, serving: Callable[[], Sequence[WorkerView]]) -> None:
        self._serving = serving
        self._size = self._model_s = 0.0
        """Of prompts that were read."""
        self._until = 0.0
        """When all that were admitted will have been read."""
        self._admitted: set[Prompts] = set()
        self._known: OrderedDict[int, None] = OrderedDict()

    def wait_s(self, prompts: Prompts, now: float) -> float:
        """How long others are read before these: all that are as short, each beside longer ones, or else everything."""
        before = (each.left_s(now) for each in self._admitted if each.seconds <= ALIKE * prompts.seconds)
        return min(sum(before) * BESIDE_OLDEST, max(0.0, self._until - now))

    def of(self, inputs: Sequence[Any]) -> Prompts:
        """What these would take. They are not remembered."""
        if not (per_byte_s := self._per_byte_s()):
            return NONE
        size = sum(len(data) - BLOCK * self._begun(data) for data in map(_encoded, inputs))
        return Prompts(size, size * per_byte_s)

    def add(self, prompts: Prompts, inputs: Sequence[Any], now: float) -> None:
        """The request was admitted."""
        if not prompts.size:
            return
        self._admitted.add(prompts)
        prompts.begins_at = max(now, self._until)
        self._until = prompts.ends_at = prompts.begins_at + prompts.seconds
        for data in map(_encoded, inputs):
            for block in _blocks(data):
                self._known[block] = None
                self._known.move_to_end(block)
        while len(self._known) > MOST_BLOCKS:
            self._known.popitem(last=False)

    def end(self, prompts: Prompts, now: float) -> None:
        """It was answered, failed or was cancelled: nobody waits for what has not been read of it."""
        self._admitted.discard(prompts)
        self._until -= prompts.left_s(now)

    def learn(self, prompts: Prompts, model_s: float) -> None:
        """It was answered, and its prompts took so much of the model's time."""
        if prompts.size and model_s:
            self._size = MEMORY * self._size + prompts.size
            self._model_s = MEMORY * self._model_s + model_s

    def _per_byte_s(self) -> float:
        """Time that a byte takes here; 0 if unknown, or nothing is read in parts."""
        workers = self._serving()
        known = [worker.reading_ms / 1000 for worker in workers if worker.reading_ms]
        if not known:
            return 0.0
        guessed_s = GUESSED_BYTES * TOKENS_PER_BYTE * sum(known) / len(known)
        model_s = (self._model_s + guessed_s) / (self._size + GUESSED_BYTES)
        return STRETCH * model_s / sum(worker.expected_share / worker.host.webs for worker in workers)

    def _begun(self, data: bytes) -> int:
        """How many of its first blocks are known; the last one is read in any case."""
        known = 0
        for block in _blocks(data[:-1]):
            if block not in self._known:
                break
            known += 1
        return known


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError):
        return b""  # validation says what is wrong


def _blocks(data: bytes) -> list[int]:
    """A hash of each whole block with all before it."""
    hashes, before = [], 0
    for end in range(BLOCK, len(data) + 1, BLOCK):
        before = hash((before, data[end - BLOCK : end]))
        hashes.append(before)
    return hashes
