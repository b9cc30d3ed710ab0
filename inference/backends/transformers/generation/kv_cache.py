"""Keys and values of running texts: rows of equal capacity in small blocks, so that short texts take little room."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from inference.backends.transformers.generation.prefix_cache import PrefixCache
from inference.backends.transformers.generation.zeros import zeros

if TYPE_CHECKING:
    from inference.backends.transformers.generation.text import Text

ROWS = 8
"""Texts in a block, at most: attention runs once per block and layer."""
SHARE = 8
"""A block takes at most this part of the cache, or one row: so there is room for blocks of several capacities."""
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
        self.kv = zeros((shape.layers, 2, rows, shape.heads, capacity, shape.size), shape.dtype, shape.device)
        self.rows, self.capacity = rows, capacity
        self.texts: list[Text] = []
        self._used = 0
        """Rows that have ever been written to."""
        heads = torch.arange(shape.heads, device=shape.device)
        self._heads = torch.cat((heads, rows * shape.heads + heads)) * capacity
        """In a layer of ``kv``, counted in vectors: where heads of keys and of values begin in the first row."""

    def places(self, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """``[token * keys or values * head]``: in a layer of ``kv``, counted in vectors, those of tokens."""
        heads, capacity = self.kv.shape[3:5]
        return ((rows * heads * capacity + positions)[:, None] + self._heads).flatten()

    def append(self, text: "Text") -> None:
        self.texts.append(text)
        self._take(text, len(self.texts) - 1)

    def replace(self, row: int, text: "Text") -> None:
        self.texts[row] = text
        self._take(text, row)

    def _take(self, text: "Text", row: int) -> None:
        """Move ``text`` into ``row``, and clear what another text left there."""
        length = text.cached
        if text.block is not None:
            self.kv[:, :, row, :, :length] = text.block.kv[:, :, text.row, :, :length]
        if row < self._used:
            self.kv[:, :, row, :, length:] = 0
        self._used = max(self._used, row + 1)
        text.block, text.row = self, row


class KVCache:
    """From its first token to its last, a text has a row in a block with others, as long as it can become.

    When a text leaves, the last one of its capacity moves into its row, so all blocks of a capacity but the last are
    full; an empty block is freed. The size of the cache depends on the texts in it only (``needed``).

    Args:
        most: tokens, for all texts together.
        longest: tokens that one text may have.
        prefix_bytes: of what is kept for texts that begin equally.
    """

    def __init__(self, shape: Shape, most: int, longest: int, prefix_bytes: int = 0) -> None:
        self.prefixes = PrefixCache(shape, prefix_bytes)
        self.most = most
        self.most_bytes = most * shape.bytes
        self._shape = shape
        self._longest = longest
        self._blocks: dict[int, list[Block]] = {}
        self.texts: set[Text] = set()

    @property
    def tokens(self) -> int:
        """Allocated for all texts."""
        return sum(block.rows * block.capacity for blocks in self._blocks.values() for block in blocks)

    def needed(self, texts: Iterable["Text"]) -> int:
        """Tokens that are allocated when exactly these are in the cache. Pure."""
        counted = Counter(text.capacity for text in texts)
        return sum(-(-count // self._rows(each)) * self._rows(each) * each for each, count in counted.items())

    def capacity(self, tokens: int) -> int:
        """Tokens of the row that a text of this length gets."""
        capacity = SMALLEST
        while capacity < tokens:
            capacity *= 2
        return max(tokens, min(capacity, self._longest))

    def begin(self, text: "Text") -> None:
        """Give it a row, and in it what is known of its beginning."""
        blocks = self._blocks.setdefault(text.capacity, [])
        if not blocks or len(blocks[-1].texts) == blocks[-1].rows:
            blocks.append(Block(self._shape, self._rows(text.capacity), text.capacity))
        blocks[-1].append(text)
        self.texts.add(text)
        text.cached = text.reused = self.prefixes.read(text.scope, text.ids, text.kv)

    def note_read(self, text: "Text", cached: int) -> None:
        """So many of its tokens are in its row now; those of its prompt are kept for others."""
        text.cached = cached
        self.prefixes.keep(text.scope, text.ids[:cached], text.kv)

    def remove(self, text: "Text") -> None:
        """Its row is another's from now on. What it became is kept: a chat goes on with it."""
        self.prefixes.keep(text.scope, text.ids[: text.cached], text.kv)
        self.texts.discard(text)
        block, text.block = text.placed, None
        last = self._blocks[block.capacity][-1]
        mover = last.texts.pop()
        if mover is not text:
            block.replace(text.row, mover)
        if not last.texts:
            self._blocks[block.capacity].pop()

    def forget(self) -> None:
        """What was kept, as if no text had been there."""
        self.prefixes = PrefixCache(self._shape, self.prefixes.most_bytes)

    def _rows(self, capacity: int) -> int:
        return max(1, min(ROWS, self.most // (SHARE * capacity)))
