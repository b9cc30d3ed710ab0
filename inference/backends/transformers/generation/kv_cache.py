"""Keys and values of running texts: rows of equal capacity in small blocks, so that none pays for a longer one."""

import math
import mmap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from inference.backends.transformers.generation.text import Text

ROWS = 8
"""Texts in a block, at most: attention runs once per block and layer."""
SHARE = 8
"""A block takes at most this part of the cache, unless a single row does: so blocks of several capacities find room."""
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

    @property
    def bytes(self) -> int:
        return self.layers * 2 * self.heads * self.size * self.dtype.itemsize


class Block:
    """``kv[layer, keys or values, row, head, token]``; the rows in use are the first ones."""

    def __init__(self, shape: Shape, rows: int, capacity: int) -> None:
        # Zeros, since what is masked is multiplied by 0 all the same: it must be finite.
        self.kv = _zeros((shape.layers, 2, rows, shape.heads, capacity, shape.size), shape.dtype, shape.device)
        self.rows, self.capacity = rows, capacity
        self.texts: list[Text] = []
        self._used = 0
        """Rows that have ever been written to."""

    def append(self, text: "Text") -> None:
        self.texts.append(text)
        self._take(text, len(self.texts) - 1)

    def replace(self, row: int, text: "Text") -> None:
        self.texts[row] = text
        self._take(text, row)

    def _take(self, text: "Text", row: int) -> None:
        """Copy what ``text`` has elsewhere into ``row``, and forget what another text left there."""
        length = text.cached
        if text.block is not None:
            self.kv[:, :, row, :, :length] = text.block.kv[:, :, text.row, :, :length]
        if row < self._used:
            self.kv[:, :, row, :, length:] = 0
        self._used = max(self._used, row + 1)
        text.block, text.row = self, row


class KVCache:
    """From its first token to its last a text has a row in a block with others, as long as it may become.

    When one leaves, the last one takes its place, so that all blocks of a capacity but the last are full; an empty
    block is freed. So what the cache takes follows from the texts that are in it (``needed``) and nothing else.

    Args:
        most: tokens, for all texts together.
        longest: tokens that one text may have.
    """

    def __init__(self, shape: Shape, most: int, longest: int) -> None:
        self.most = most
        self.most_bytes = most * shape.bytes
        self._shape = shape
        self._longest = longest
        self._blocks: dict[int, list[Block]] = {}
        self.texts: set[Text] = set()

    @property
    def tokens(self) -> int:
        """Allocated, for whichever text."""
        return sum(block.rows * block.capacity for blocks in self._blocks.values() for block in blocks)

    def needed(self, texts: Iterable["Text"]) -> int:
        """Tokens that are allocated where these are in the cache and no others. Pure."""
        counted = Counter(text.capacity for text in texts)
        return sum(-(-count // self._rows(each)) * self._rows(each) * each for each, count in counted.items())

    def capacity(self, tokens: int) -> int:
        """Of the row in which so many tokens are kept."""
        capacity = SMALLEST
        while capacity < tokens:
            capacity *= 2
        return max(tokens, min(capacity, self._longest))

    def begin(self, text: "Text") -> None:
        """Give it a row."""
        blocks = self._blocks.setdefault(text.capacity, [])
        if not blocks or len(blocks[-1].texts) == blocks[-1].rows:
            blocks.append(Block(self._shape, self._rows(text.capacity), text.capacity))
        blocks[-1].append(text)
        self.texts.add(text)

    def remove(self, text: "Text") -> None:
        self.texts.discard(text)
        block, text.block = text.placed, None
        last = self._blocks[block.capacity][-1]
        mover = last.texts.pop()
        if mover is not text:
            block.replace(text.row, mover)
        if not last.texts:
            self._blocks[block.capacity].pop()

    def _rows(self, capacity: int) -> int:
        return max(1, min(ROWS, self.most // (SHARE * capacity)))


def _zeros(sizes: tuple[int, ...], dtype: torch.dtype, device: Any) -> torch.Tensor:
    """On a CPU they take no time and no memory before they are written to, and give it back at once."""
    if torch.device(device).type != "cpu":
        return torch.zeros(sizes, dtype=dtype, device=device)
    pages = mmap.mmap(-1, math.prod(sizes) * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(pages, dtype=dtype).view(sizes)
