"""Keys and values of what texts began with, for later texts that begin equally: they need not be read again."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inference.backends.base import TextFigures
from inference.backends.transformers.generation.zeros import zeros

if TYPE_CHECKING:
    from inference.backends.transformers.generation.kv_cache import Shape

logger = logging.getLogger(__name__)

CHUNK = 16
"""Tokens that are kept and found together."""
Ids = tuple[int, ...]


class Chunk:
    """The keys and values of ``CHUNK`` tokens after those of its parent; without a parent, it is where a scope begins.

    ``kv[layer, keys or values, head, token]``.
    """

    __slots__ = ("children", "ids", "kv", "parent", "scope")

    def __init__(self, parent: "Chunk | None", ids: Ids, kv: Any, scope: str) -> None:
        self.parent, self.ids, self.kv, self.scope = parent, ids, kv, scope
        self.children: dict[Ids, Chunk] = {}


class PrefixCache:
    """A tree of chunks for each scope, bounded in bytes; the leaf that was used least recently goes first.

    Chunks are found by the ids themselves, and texts copy what they find, so a chunk may go at any time. Only the
    model's thread changes it.

    Args:
        most_bytes: of all chunks; nothing is kept where it is less than one has.
    """

    def __init__(self, shape: "Shape", most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.chunk_bytes = CHUNK * shape.bytes
        self._reused_tokens = self._evicted = 0
        self._shape = shape
        self._most = most_bytes // self.chunk_bytes
        self._scopes: dict[str, Chunk] = {}
        self._used: OrderedDict[Chunk, None] = OrderedDict()
        """All chunks, the least recently used first. A chunk comes after all that descend from it, so the first one is
        a leaf."""

    @property
    def keeps(self) -> bool:
        return self._most > 0

    @property
    def most_tokens(self) -> int:
        return self._most * CHUNK

    @property
    def figures(self) -> TextFigures:
        return TextFigures(len(self._used) * self.chunk_bytes, self._reused_tokens, self._evicted)

    def known(self, scope: str, ids: Sequence[int]) -> int:
        """How many of the first ids are kept, apart from the last one, which is read in any case. Pure."""
        return CHUNK * len(self._chain(scope, ids, len(ids) - 1)) if self.keeps else 0

    def read(self, scope: str, ids: Sequence[int], row: Any) -> int:
        """Copy what is known into ``row[layer, keys or values, head, token]``; returns of how many tokens."""
        chain = self._chain(scope, ids, len(ids) - 1) if self.keeps else []
        for number, chunk in enumerate(chain):
            row[:, :, :, number * CHUNK : (number + 1) * CHUNK] = chunk.kv
        self._touch(chain)
        self._reused_tokens += CHUNK * len(chain)
        return CHUNK * len(chain)

    def keep(self, scope: str, ids: Sequence[int], row: Any) -> None:
        """Copy the chunks of these ids that are not known yet from the text's row."""
        if not self.keeps:
            return
        chain = self._chain(scope, ids, len(ids))
        self._touch(chain)
        own = set(chain)
        for start in range(CHUNK * len(chain), len(ids) - CHUNK + 1, CHUNK):
            if not self._make_room(own):
                break
            try:
                kv = self._copy(row[:, :, :, start : start + CHUNK])
            except (MemoryError, OSError, RuntimeError) as error:  # a text must not fail because of it
                logger.warning("There is no memory for the prefix cache, which is emptied: %s", error)
                self.clear()
                return
            chain.append(self._add(scope, chain[-1] if chain else None, tuple(ids[start : start + CHUNK]), kv))
            own.add(chain[-1])
        self._touch(chain)

    def clear(self) -> None:
        for chunk in self._used:
            chunk.parent = None  # otherwise their memory comes back with the next garbage collection only
        self._scopes.clear()
        self._used.clear()

    def _chain(self, scope: str, ids: Sequence[int], most: int) -> list[Chunk]:
        """The longest of chunks that begin these ids, with at most so many tokens."""
        chain: list[Chunk] = []
        chunk = self._scopes.get(scope)
        for end in range(CHUNK, most + 1, CHUNK):
            chunk = chunk and chunk.children.get(tuple(ids[end - CHUNK : end]))
            if chunk is None:
                break
            chain.append(chunk)
        return chain

    def _touch(self, chain: Sequence[Chunk]) -> None:
        for chunk in reversed(chain):
            self._used.move_to_end(chunk)

    def _make_room(self, own: set[Chunk]) -> bool:
        """For one more; false if there are none but those of the text itself."""
        if len(self._used) < self._most:
            return True
        oldest = next(iter(self._used))
        if oldest in own:
            return False
        self._drop(oldest)
        return True

    def _add(self, scope: str, parent: Chunk | None, ids: Ids, kv: Any) -> Chunk:
        if parent is None:
            parent = self._scopes.setdefault(scope, Chunk(None, (), None, scope))
        chunk = parent.children[ids] = Chunk(parent, ids, kv, scope)
        self._used[chunk] = None
        return chunk

    def _drop(self, chunk: Chunk) -> None:
        del self._used[chunk]
        parent, chunk.parent = chunk.parent, None
        assert parent is not None  # noqa: S101 - only roots have none, and they are not in use
        del parent.children[chunk.ids]
        if parent.kv is None and not parent.children:
            del self._scopes[chunk.scope]
        self._evicted += 1

    def _copy(self, part: Any) -> Any:
        kept = zeros(tuple(part.shape), self._shape.dtype, self._shape.device)
        kept.copy_(part)
        return kept
