"""Attention over texts of different lengths in one row of tokens, without padding.

The tokens of a step follow each other as a single sequence for the model: everything but attention treats tokens one by
one. Here each text attends to its own keys and values only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol

import torch
import transformers
from torch.nn.functional import scaled_dot_product_attention as attend

from inference.backends.transformers import compat
from inference.backends.transformers.generation.kv_cache import Block, Shape
from inference.backends.transformers.generation.text import Text

NAME = "inference_generation"
Attention = Callable[..., tuple[torch.Tensor, None]]
UNKNOWN = ("softcap", "s_aux", "position_bias", "sinks")
"""Arguments of attention that change the result and are not implemented here."""


@dataclass(frozen=True)
class AttentionInputs:
    """Of one layer; ``q``, ``k`` and ``v`` are ``[tokens, heads, size]``."""

    layer: int
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    scale: float | None
    window: int | None
    """How many tokens a token attends to, counted back from itself; ``None``: all."""

    def of(self, tokens: slice) -> "AttentionInputs":
        return replace(self, q=self.q[tokens], k=self.k[tokens], v=self.v[tokens])


class Span(Protocol):
    """Tokens that are attended to together: ``tokens`` of the row."""

    tokens: slice

    def attend(self, inputs: AttentionInputs) -> torch.Tensor:
        """``[tokens, heads, size]``, for these tokens only."""
        ...


@dataclass(eq=False)
class NextTokens:
    """One token of each of several texts in a block."""

    tokens: slice
    block: Block
    rows: Sequence[int]
    at: Sequence[int]
    """Position of each text's token."""
    _masks: dict[int | None, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        device = self.block.kv.device
        self._row, self._at = torch.tensor(self.rows, device=device), torch.tensor(self.at, device=device)
        neighbours = slice(self.rows[0], self.rows[0] + len(self.rows))
        side_by_side = list(self.rows) == list(range(neighbours.start, neighbours.stop))
        self._selected: Any = neighbours if side_by_side else self._row  # the latter is a copy
        self._longest = max(self.at) + 1

    def attend(self, inputs: AttentionInputs) -> torch.Tensor:
        q = inputs.q
        keys, values = self.block.kv[inputs.layer]
        keys[self._row, :, self._at] = inputs.k
        values[self._row, :, self._at] = inputs.v
        keys, values = (kept[self._selected, :, : self._longest] for kept in (keys, values))
        # Heads that share keys are laid out as tokens of one head: the keys need not be repeated for each of them.
        grouped = q.reshape(len(self.rows), keys.shape[1], -1, q.shape[-1])
        result = attend(grouped, keys, values, attn_mask=self._mask(inputs.window, q.dtype), scale=inputs.scale)
        return result.reshape(q.shape)

    def _mask(self, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        if window not in self._masks:
            self._masks[window] = _mask(self._at[:, None], self._longest, window, dtype)[:, None]
        return self._masks[window]


@dataclass(eq=False)
class PromptPart:
    """Tokens of one text's prompt; ``before`` of them are cached."""

    tokens: slice
    text: Text
    before: int
    _masks: dict[int | None, torch.Tensor] = field(default_factory=dict)

    @property
    def end(self) -> int:
        length: int = self.tokens.stop - self.tokens.start
        return self.before + length

    def attend(self, inputs: AttentionInputs) -> torch.Tensor:
        q, end, row = inputs.q, self.end, self.text.row
        keys, values = self.text.placed.kv[inputs.layer, :, row : row + 1]
        keys[0, :, self.before : end] = inputs.k.transpose(0, 1)
        values[0, :, self.before : end] = inputs.v.transpose(0, 1)
        keys, values = keys[:, :, :end], values[:, :, :end]
        # As in ``NextTokens``: all that is cached would be copied in each layer.
        grouped = q.transpose(0, 1).reshape(1, keys.shape[1], -1, q.shape[-1])
        mask = self._mask(inputs.window, q, grouped.shape[2])
        result = attend(grouped, keys, values, attn_mask=mask, scale=inputs.scale)
        return result.view(q.shape[1], q.shape[0], q.shape[2]).transpose(0, 1)

    def _mask(self, window: int | None, q: torch.Tensor, rows: int) -> torch.Tensor:
        if window not in self._masks:
            mask = _mask(torch.arange(self.before, self.end, device=q.device), self.end, window, q.dtype)
            self._masks[window] = mask.repeat(rows // len(mask), 1)
        return self._masks[window]


class Guess(PromptPart):
    """The last token of a text and what may follow it: as far as that is wrong, later tokens take its place."""


def _mask(positions: torch.Tensor, longest: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    """The additive mask of tokens at these positions over ``longest`` keys, which are its last dimension."""
    kept = torch.arange(longest, device=positions.device)
    seen = kept <= positions[..., None]
    if window is not None:
        seen &= kept > positions[..., None] - window
    return torch.zeros(seen.shape, dtype=dtype, device=positions.device).masked_fill_(~seen, float("-inf"))


class ShapeFinder:
    """Takes the place of spans in a first pass, to find the shape of a token's keys and values."""

    def __init__(self) -> None:
        self.layers: set[int] = set()
        self.shapes: set[tuple[Any, ...]] = set()

    def note(self, inputs: AttentionInputs) -> None:
        self.layers.add(inputs.layer)
        self.shapes |= {(tuple(kept.shape[1:]), kept.dtype, kept.device) for kept in (inputs.k, inputs.v)}

    def shape(self) -> Shape:
        """Raises ``ValueError`` if it differs between layers, or if layers do not use this attention."""
        if len(self.shapes) != 1 or self.layers != set(range(len(self.layers))):
            raise ValueError("its layers have keys and values of different shapes")
        [((heads, size), dtype, device)] = self.shapes
        return Shape(len(self.layers), heads, size, dtype, device)


def ragged_attention(  # noqa: PLR0913 - the signature of transformers' attention functions
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, scaling: float | None = None, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """``[1, heads, tokens, size]`` in, ``[1, tokens, heads, size]`` out. Without ``spans`` it equals ``sdpa``."""
    spans: Sequence[Span] | ShapeFinder | None = kwargs.pop("spans", None)
    if spans is None:
        return _sdpa()(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    if unknown := [name for name in UNKNOWN if kwargs.get(name) is not None]:
        raise ValueError(f"its attention needs {', '.join(unknown)}")
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    inputs = AttentionInputs(module.layer_idx, q, k, v, scaling, kwargs.get("sliding_window"))
    result = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    if isinstance(spans, ShapeFinder):
        spans.note(inputs)
    else:
        for span in spans:
            result[span.tokens] = span.attend(inputs.of(span.tokens))
    return result[None], None


@cache
def _sdpa() -> Attention:
    found: Attention = compat.lookup("transformers.integrations.sdpa_attention.sdpa_attention_forward")
    return found


def register() -> None:
    """Make it known to transformers as ``NAME``."""
    transformers.AttentionInterface.register(NAME, ragged_attention)
    transformers.AttentionMaskInterface.register(NAME, compat.lookup("transformers.masking_utils.sdpa_mask"))
