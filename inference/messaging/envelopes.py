"""Envelopes: several jobs or replies in one message of the channel layer."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

ENVELOPE_BYTES = 512 * 1024
"""Bound of one message; a single larger job or answer is sent alone."""
ENTRY_BYTES = 200
"""Of an entry besides its content, roughly."""

T = TypeVar("T")


def pack(queue: "deque[T]", size_of: Callable[[T], int]) -> list[T]:
    """Take from the head of ``queue`` what fits into one envelope, at least one entry."""
    packed: list[T] = []
    size = 0
    while queue:
        size += ENTRY_BYTES + size_of(queue[0])
        if packed and size > ENVELOPE_BYTES:
            break
        packed.append(queue.popleft())
    return packed
