"""A text that a decoder writes about a source: what was asked for, and how far it has come."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inference.backends.transformers.generation.text import GrowingText
from inference.backends.transformers.seq2seq.beams import Beams


@dataclass(eq=False, kw_only=True)
class EncodedText(GrowingText):
    """``ids`` are the decoder's tokens; with ``beams`` they are not known before the end."""

    source: Any
    """What ``Encode`` takes."""
    source_tokens: int
    """Positions that it has in the encoder's output."""
    decode: Callable[[Sequence[int]], str]
    """The text that these tokens are. Runs on the model's thread."""
    answer: Callable[[Sequence[int]], Any]
    """What the pipeline returns if these are the decoder's tokens."""
    config: Any = None
    """The generation configuration of transformers, for ``generate``."""
    input_tokens: int = 0
    beams: Beams | None = None
    running: bool = False
    """Its source has been read: each step brings a token."""

    @property
    def tokens(self) -> int:
        return self.source_tokens

    @property
    def longest(self) -> int:
        return self.source_tokens

    @property
    def width(self) -> int:
        """Rows of the decoder that it takes."""
        return self.beams.width if self.beams else 1

    @property
    def rows(self) -> Sequence[Sequence[int]]:
        """The decoder's tokens so far, of each row; of a single one while it has none yet."""
        return self.beams.sequences if self.beams else [self.ids]

    @property
    def cached(self) -> int:
        """Tokens in the cache, of each row: all but the last one."""
        return len(self.rows[0]) - 1 if self.running else 0

    @property
    def capacity(self) -> int:
        """Tokens that each row may get."""
        return self.prompt_tokens + self.stop_conditions.new_tokens
