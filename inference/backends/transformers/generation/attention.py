"""Attention over texts of different lengths in one row of tokens, without padding.

The tokens of a step follow each other as a single sequence for the model: everything but attention treats tokens one by
one. Here each text attends to its own keys and values only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, Protocol

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
FEW = 16
"""Tokens of a prompt up to which heads that share keys are laid out as tokens of one head: most of the time is that of
reading keys, which are read once then. With more tokens it is no faster."""


class AttentionInputs(NamedTuple):
    """Of one layer."""

    layer: int
    q: torch.Tensor
    """``[token, head, size]``"""
    kv: torch.Tensor
    """``[token, keys or values, head, size]``; several heads of ``q`` may share one of these."""
    scale: float | None
    window: int | None
    """How many tokens a token attends to, counted back from itself; ``None``: all."""

    def of(self, tokens: slice) -> "AttentionInputs":
        return self._replace(q=self.q[tokens], kv=self.kv[tokens])


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
        self._places = torch.tensor(self.rows, device=device), torch.tensor(self.at, device=device)
        neighbours = slice(self.rows[0], self.rows[0] + len(self.rows))
        side_by_side = list(self.rows) == list(range(neighbours.start, neighbours.stop))
        self._selected: Any = neighbours if side_by_side else self._places[0]  # the latter is a copy
        self._shortest, self._longest = min(self.at) + 1, max(self.at) + 1

    def attend(self, inputs: AttentionInputs) -> torch.Tensor:
        q = inputs.q
        kept = self.block.kv[inputs.layer]
        kept.permute(1, 3, 0, 2, 4).index_put_(self._places, inputs.kv)
        keys, values = kept[:, self._selected, :, : self._longest]
        # Heads that share keys are laid out as tokens of one head: the keys need not be repeated for each of them.
        grouped = q.reshape(len(self.rows), keys.shape[1], -1, q.shape[-1])
        result = attend(grouped, keys, values, attn_mask=self._mask(inputs.window, q.dtype), scale=inputs.scale)
        return result.reshape(q.shape)

    def _mask(self, window: int | None, dtype: torch.dtype) -> torch.Tensor | None:
        if self._shortest == self._longest and (window is None or self._longest <= window):
            return None
        if window not in self._masks:
            self._masks[window] = _mask(self._places[1][:, None], self._longest, window, dtype)[:, None]
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
        q, end = inputs.q, self.end
        kept = self.text.placed.kv[inputs.layer, :, self.text.row, :, :end]
        kept[:, :, self.before :] = inputs.kv.permute(1, 2, 0, 3)
        heads, shared = kept.shape[1], q.shape[1] // kept.shape[1]
        grouped = q.view(len(q), heads, shared, q.shape[-1]).permute(1, 2, 0, 3)
        causal = not self.before and (inputs.window is None or end <= inputs.window)
        if causal or len(q) > FEW:
            keys, values = kept[:, :, None].expand(-1, -1, shared, -1, -1)
            mask = None if causal else self._mask(inputs.window, q)
            result = attend(grouped, keys, values, attn_mask=mask, is_causal=causal, scale=inputs.scale)
        else:
            keys, values = kept[:, None]
            as_tokens = grouped.reshape(1, heads, shared * len(q), q.shape[-1])
            mask = self._mask(inputs.window, q, shared)
            result = attend(as_tokens, keys, values, attn_mask=mask, scale=inputs.scale).view(grouped.shape)
        return result.permute(2, 0, 1, 3).reshape(q.shape)

    def _mask(self, window: int | None, like: torch.Tensor, times: int = 1) -> torch.Tensor:
        if window not in self._masks:
            positions = torch.arange(self.before, self.end, device=like.device)
            self._masks[window] = _mask(positions, self.end, window, like.dtype).repeat(times, 1)
        return self._masks[window]


class Guess(PromptPart):
    """The last token of a text and what may follow it: as far as that is wrong, later tokens take its place."""


def attend_all(spans: Sequence[Span], inputs: AttentionInputs) -> torch.Tensor:
    """``[token, head, size]`` for the tokens of all spans."""
    if len(spans) == 1:
        return spans[0].attend(inputs)
    result = torch.empty(inputs.q.shape, dtype=inputs.q.dtype, device=inputs.q.device)
    for span in spans:
        result[span.tokens] = span.attend(inputs.of(span.tokens))
    return result


def _mask(positions: torch.Tensor, longest: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    """The additive mask of tokens at these positions over ``longest`` keys, which are its last dimension."""
    kept = torch.arange(longest, device=positions.device)
    seen = kept <= positions[..., None]
    if window is not None:
        seen &= kept > positions[..., None] - window
    return torch.zeros(seen.shape, dtype=dtype, device=positions.device).masked_fill_(~seen, float("-inf"))


class ShapeFinder:
    """Takes the place of spans in a first pass, to find the shape of a token's keys and values, and what layers do."""

    def __init__(self) -> None:
        self.inputs: dict[int, AttentionInputs] = {}
        self.shapes: set[tuple[Any, ...]] = set()

    def note(self, inputs: AttentionInputs) -> None:
        self.inputs[inputs.layer] = inputs
        self.shapes.add((tuple(inputs.kv.shape[2:]), inputs.kv.dtype, inputs.kv.device))

    def shape(self) -> Shape:
        """Raises ``ValueError`` if it differs between layers, or if layers do not use this attention."""
        if len(self.shapes) != 1 or set(self.inputs) != set(range(len(self.inputs))):
            raise ValueError("its layers have keys and values of different shapes")
        [((heads, size), dtype, device)] = self.shapes
        return Shape(len(self.inputs), heads, size, dtype, device)


def ragged_attention(  # noqa: PLR0913 - the signature of transformers' attention functions
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, scaling: float | None = None, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """``[1, heads, tokens, size]`` in, ``[1, tokens, heads, size]`` out. Without ``spans`` it equals ``sdpa``."""
    spans: Sequence[Span] | ShapeFinder | None = kwargs.pop("spans", None)
    if spans is None:
        return _sdpa()(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    if unknown := [name for name in UNKNOWN if kwargs.get(name) is not None]:
        raise ValueError(f"its attention needs {', '.join(unknown)}")
    if key.shape != value.shape:
        raise ValueError("its layers have keys and values of different shapes")
    q, kv = query[0].transpose(0, 1), torch.stack((key[0], value[0])).permute(2, 0, 1, 3)
    inputs = AttentionInputs(module.layer_idx, q, kv, scaling, kwargs.get("sliding_window"))
    if isinstance(spans, ShapeFinder):
        spans.note(inputs)
        return torch.zeros_like(q)[None], None
    return attend_all(spans, inputs)[None], None


@cache
def _sdpa() -> Attention:
    found: Attention = compat.lookup("transformers.integrations.sdpa_attention.sdpa_attention_forward")
    return found


def register() -> None:
    """Make it known to transformers as ``NAME``."""
    transformers.AttentionInterface.register(NAME, ragged_attention)
    transformers.AttentionMaskInterface.register(NAME, compat.lookup("transformers.masking_utils.sdpa_mask"))
