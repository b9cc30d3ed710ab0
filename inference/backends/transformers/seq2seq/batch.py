"""Texts that go through the decoder together, with what it keeps of them.

Rows end in the same column of the cache: a shorter one has padding before it. So a step writes one column for all, a
text joins by padding, and relative positions (T5's) are right without more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from inference.backends.transformers.seq2seq.text import EncodedText

SPARE = 32
"""Columns by which a cache grows, so that it is not copied for each token."""


class OwnLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of the decoder's tokens, ``[row, head, column, size]``; the first ``used`` columns are taken.

    What a step writes counts only once ``used`` says so: a step that fails can be repeated.
    """

    used = 0

    def update(self, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key, value)
            self.keys, self.values = (part.new_zeros(*part.shape[:2], 0, part.shape[3]) for part in (key, value))
        end = self.used + key.shape[-2]
        if end > self.keys.shape[-2]:
            self.keys, self.values = (
                torch.cat([kept, kept.new_zeros(*kept.shape[:2], end + SPARE - kept.shape[2], kept.shape[3])], -2)
                for kept in (self.keys, self.values)
            )
        self.keys[:, :, self.used : end], self.values[:, :, self.used : end] = key, value
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.used


@dataclass(eq=False)
class Batch:
    """``width`` rows of ``own`` for each text, and one of ``cross``."""

    texts: list[EncodedText]
    width: int
    own: Cache
    cross: Cache
    read: torch.Tensor | None
    """``[text, position of the source]``: 0 where there is padding; ``None``: nowhere."""

    def __post_init__(self) -> None:
        self.retained = set(self.texts)

    @property
    def columns(self) -> int:
        return int(self.own.get_seq_length())

    @property
    def source_tokens(self) -> int:
        return int(self.cross.layers[0].keys.shape[-2])

    def rows(self, text: EncodedText) -> slice:
        first = self.texts.index(text) * self.width
        return slice(first, first + self.width)


def begin(texts: Sequence[EncodedText], read: torch.Tensor | None) -> Batch:
    """Texts of which the decoder has seen nothing."""
    return Batch(list(texts), 1, Cache(layer_class_to_replicate=OwnLayer), DynamicCache(), read)


@dataclass(frozen=True)
class Moved:
    """A batch's own keys and values after a step, which are to take the place of those that it has."""

    batch: Batch
    width: int
    layers: Sequence[tuple[torch.Tensor, torch.Tensor]]
    columns: int

    def put(self) -> None:
        self.batch.width = self.width
        for layer, (keys, values) in zip(self.batch.own.layers, self.layers, strict=True):
            layer.keys, layer.values, layer.used = keys, values, self.columns


def moved(batch: Batch, origins: Sequence[int], width: int, columns: int) -> Moved:
    """What the cache becomes: the row ``origins[r]`` as row ``r``, and ``columns`` more."""
    layers = [(layer.keys, layer.values) for layer in batch.own.layers]
    if list(origins) != list(range(len(batch.texts) * batch.width)):
        index = torch.tensor(origins, device=layers[0][0].device)
        layers = [(keys.index_select(0, index), values.index_select(0, index)) for keys, values in layers]
    return Moved(batch, width, layers, batch.columns + columns)


def merged(texts: Sequence[EncodedText], batches: Sequence[Batch]) -> Batch:
    """A batch of these, which are spread over others of one width; those stay as they are."""
    width = batches[0].width
    columns, source_tokens = max(text.cached for text in texts), max(text.source_tokens for text in texts)
    places = [(batch, [n for n, text in enumerate(texts) if text in batch.texts]) for batch in batches]
    places = [(batch, found) for batch, found in places if found]
    whole = all(text.source_tokens == source_tokens for text in texts)
    read = None if whole else _read(texts, source_tokens, batches[0].cross.layers[0].keys.device)
    made = Batch(list(texts), width, Cache(layers=[]), Cache(layers=[]), read)
    for number in range(len(batches[0].own.layers)):
        own, cross = OwnLayer(), DynamicLayer()
        for kind in ("keys", "values"):
            setattr(own, kind, _own(texts, places, number, kind, columns))
            setattr(cross, kind, _cross(texts, places, number, kind, source_tokens))
        own.used, own.is_initialized, cross.is_initialized = columns, True, True
        made.own.layers.append(own)
        made.cross.layers.append(cross)
    return made


Places = Sequence[tuple[Batch, list[int]]]
"""Batches, and which texts of the new one each has."""


def _own(texts: Sequence[EncodedText], places: Places, number: int, kind: str, columns: int) -> torch.Tensor:
    like, width = getattr(places[0][0].own.layers[number], kind), places[0][0].width
    # Zeros, since what is masked is multiplied by 0 all the same: it must be finite.
    result: torch.Tensor = like.new_zeros(len(texts) * width, like.shape[1], columns + SPARE, like.shape[3])
    for batch, found in places:
        before: list[int] = []
        after: list[int] = []
        for n in found:
            rows = batch.rows(texts[n])
            before += range(rows.start, rows.stop)
            after += range(n * width, (n + 1) * width)
        shared, used = min(columns, batch.columns), batch.columns
        kept = getattr(batch.own.layers[number], kind)[before, :, used - shared : used]
        result[after, :, columns - shared : columns] = kept
    return result


def _cross(texts: Sequence[EncodedText], places: Places, number: int, kind: str, source_tokens: int) -> torch.Tensor:
    like = getattr(places[0][0].cross.layers[number], kind)
    result: torch.Tensor = like.new_zeros(len(texts), like.shape[1], source_tokens, like.shape[3])
    for batch, found in places:
        before = [batch.texts.index(texts[n]) for n in found]
        kept = getattr(batch.cross.layers[number], kind)[before, :, :source_tokens]
        result[found, :, : kept.shape[2]] = kept
    return result


def _read(texts: Sequence[EncodedText], source_tokens: int, device: Any) -> torch.Tensor:
    lengths = torch.tensor([text.source_tokens for text in texts], device=device)
    return (torch.arange(source_tokens, device=device) < lengths[:, None]).long()
