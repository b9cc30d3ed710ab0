"""Keys and values of running texts: rows of equal capacity in small blocks, so that none pays for a longer one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from inference.pipelines.generation.text import Text

ROWS = 8
"""Texts in a block: attention runs once per block and layer, and at most so many rows less one are spare."""
SMALLEST = 64
"""Tokens of the smallest row; each larger one has twice as many."""


@dataclass(frozen=True)
class Shape:
    """Of one token's keys and values."""

    layers: int
    heads: int
    size: int
    dtype: torch.dtype
    device: Any


class Block:
    """``kv[layer, keys or values, row, head, token]``; the rows in use are the first ones."""

    def __init__(self, shape: Shape, rows: int, capacity: int) -> None:
        # Zeros, since what is masked is multiplied by 0 all the same: it must be finite.
        sizes = (shape.layers, 2, rows, shape.heads, capacity, shape.size)
        self.kv = torch.zeros(sizes, dtype=shape.dtype, device=shape.device)
        self.rows, self.capacity = rows, capacity
        self.texts: list[Text] = []

    def take(self, text: "Text", row: int) -> None:
        """Copy what ``text`` has elsewhere into ``row``, and forget what another text left there."""
        length = text.cached
        if text.block is not None:
            self.kv[:, :, row, :, :length] = text.block.kv[:, :, text.row, :, :length]
        self.kv[:, :, row, :, length:] = 0
        text.block, text.row = self, row


class KVCache:
    """A text has a block of its own while its prompt is read, then a row in a block with others.

    It moves to a longer row when its own is full. When one leaves, the last one takes its place, so that all blocks
    of a capacity but the last are full; an empty block is freed.
    """

    def __init__(self, shape: Shape, longest: int) -> None:
        self._shape = shape
        self._longest = longest
        self._blocks: dict[int, list[Block]] = {}
        self.texts: set[Text] = set()

    @property
    def tokens(self) -> int:
        """Allocated, for whichever text."""
        blocks = {id(text.block): text.block for text in self.texts if text.block}
        return sum(block.rows * block.capacity for block in blocks.values())

    def capacity(self, tokens: int) -> int:
        """Of the row in which so many tokens are kept."""
        capacity = SMALLEST
        while capacity < tokens:
            capacity *= 2
        return max(tokens, min(capacity, self._longest))

    def begin(self, text: "Text") -> None:
        """Room for the prompt."""
        Block(self._shape, 1, self.capacity(len(text.ids))).take(text, 0)
        self.texts.add(text)

    def make_room(self, text: "Text") -> None:
        """A row among others, for one token more than are cached."""
        old, old_row = text.block, text.row
        if old is not None and old.rows > 1 and text.cached < old.capacity:
            return
        blocks = self._blocks.setdefault(self.capacity(text.cached + 1), [])
        if not blocks or len(blocks[-1].texts) == blocks[-1].rows:
            blocks.append(Block(self._shape, ROWS, self.capacity(text.cached + 1)))
        blocks[-1].take(text, len(blocks[-1].texts))
        blocks[-1].texts.append(text)
        if old is not None:
            self._close_gap(old, old_row)

    def remove(self, text: "Text") -> None:
        self.texts.discard(text)
        block, text.block = text.block, None
        if block is not None:
            self._close_gap(block, text.row)

    def _close_gap(self, block: Block, row: int) -> None:
        if block.rows == 1:
            return
        blocks = self._blocks[block.capacity]
        last = blocks[-1]
        mover = last.texts.pop()
        if last is not block or row < len(last.texts):  # otherwise it was the last one itself
            block.take(mover, row)
            block.texts[row] = mover
        if not last.texts:
            blocks.pop()
