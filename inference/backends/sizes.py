"""What a batch costs a model, in tokens."""

from collections.abc import Sequence
from typing import Protocol

SIZES_PER_OCTAVE = 16
"""Of the sizes that batches without padding are rounded up to, between one power of two and the next."""


class Sized(Protocol):
    """What a job costs the model."""

    @property
    def tokens(self) -> int:
        """Real tokens of all its sequences."""
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
    """What the model computes for a batch: every sequence as long as the longest, or end to end, rounded up."""
    if pads:
        return sum(job.sequences for job in batch) * max(job.longest for job in batch)
    return rounded_up(sum(job.tokens for job in batch))


def rounded_up(tokens: int) -> int:
    """To a size that comes again (at most a sixteenth more): what is compiled for a size is compiled once."""
    step = max(1, (1 << tokens.bit_length()) // (2 * SIZES_PER_OCTAVE))
    return -(-tokens // step) * step
