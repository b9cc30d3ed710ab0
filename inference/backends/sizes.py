"""The size of jobs and batches, in tokens."""

from collections.abc import Sequence
from typing import Protocol

SIZES_PER_OCTAVE = 16
"""Sizes to which batches without padding are rounded up, between one power of two and the next."""


class Sized(Protocol):
    """The size of a job, as far as the model's cost depends on it."""

    @property
    def tokens(self) -> int:
        """Tokens of all its sequences, without padding."""
        ...

    @property
    def longest(self) -> int:
        """Tokens of its longest sequence."""
        ...

    @property
    def sequences(self) -> int:
        """Rows that it takes in the model."""
        ...


def computed_tokens(batch: Sequence[Sized], *, pads: bool) -> int:
    """Tokens that the model computes for a batch: all sequences padded to the longest, or end to end, rounded up."""
    if pads:
        return sum(job.sequences for job in batch) * max(job.longest for job in batch)
    return rounded_up(sum(job.tokens for job in batch))


def rounded_up(tokens: int) -> int:
    """The next of a few sizes, at most a sixteenth larger, so that code compiled for a size is used again."""
    step = max(1, (1 << tokens.bit_length()) // (2 * SIZES_PER_OCTAVE))
    return -(-tokens // step) * step
