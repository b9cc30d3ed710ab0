"""Tokens of a step that attend to the same keys: one token of each text in a block, or several of one text.

``SpanTensors`` and the functions that take them are also compiled by TorchScript, hence their plain types.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention

from inference.backends.transformers.generation.kv_cache import Block
from inference.backends.transformers.generation.text import Text

FEW = 16
"""Tokens of a prompt up to which heads that share keys are laid out as tokens of one head: most of the time is that of
reading keys, which are read once then. With more tokens it is no faster."""

Window = int | None
"""How many tokens a token attends to, counted back from itself; ``None``: all."""


class SpanTensors(NamedTuple):
    """The tokens ``first`` to ``last`` of a step, as many for each of ``rows`` rows of a block."""

    first: int
    last: int
    kv: torch.Tensor
    """Of the block: ``[layer, keys or values, row, head, token, size]``."""
    places: torch.Tensor
    """``[tokens * 2 * heads]``, where their keys and values go: see ``Block.places``."""
    row: int
    """The first one."""
    rows: int
    chosen: torch.Tensor | None
    """The rows, where they are not side by side."""
    end: int
    """Tokens of the longest row."""
    folded: bool
    """Heads that share keys are laid out as tokens of one head."""
    masks: list[torch.Tensor | None]
    """By window, added to scores: ``[row and head or 1, token, key]`` if folded, else ``[token, key]``, or ``None`` for
    a whole prompt, whose tokens see those before them."""


def attend_all(  # noqa: PLR0913 - TorchScript takes no objects
    q: torch.Tensor, kv: torch.Tensor, layer: int, window: int, scale: float, spans: list[SpanTensors]
) -> torch.Tensor:
    """Keep the keys and values of all tokens of a step, then attend: ``[token, head, size]``.

    Args:
        q: ``[token, head, size]``.
        kv: ``[token, keys or values, head, size]``; several heads of ``q`` may share one of these.
        window: the number of the layer's, in ``masks``.
    """
    if len(spans) == 1:
        return _attend(q, kv, layer, window, scale, spans[0])
    result = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    for span in spans:
        tokens = slice(span.first, span.last)
        result[tokens] = _attend(q[tokens], kv[tokens], layer, window, scale, span)
    return result


def _attend(  # noqa: PLR0913 - as above
    q: torch.Tensor, kv: torch.Tensor, layer: int, window: int, scale: float, span: SpanTensors
) -> torch.Tensor:
    size, kept, mask = q.shape[-1], span.kv[layer], span.masks[window]
    kept.view(-1, size).index_copy_(0, span.places, kv.reshape(-1, size))
    rows, chosen, heads = span.rows, span.chosen, kept.shape[2]
    tokens, shared = q.shape[0] // rows, q.shape[1] // heads
    if not span.folded:
        grouped = q.view(tokens, heads, shared, size).permute(1, 2, 0, 3)
        each = kept[:, span.row, :, : span.end].unsqueeze(2).expand(-1, -1, shared, -1, -1)
        attended = scaled_dot_product_attention(
            grouped, each[0], each[1], attn_mask=mask, is_causal=mask is None, scale=scale
        )
        return attended.permute(2, 0, 1, 3).reshape(q.shape)
    assert mask is not None  # noqa: S101 - for the types of TorchScript
    if tokens > 1:
        mask = mask.repeat(1, shared, 1)
    written = kept[:, :, :, : span.end]
    read = written.narrow(1, span.row, rows) if chosen is None else written.index_select(1, chosen)
    keys, values = read[0].flatten(0, 1), read[1].flatten(0, 1)
    folded = q.reshape(rows, tokens, heads, shared, size).permute(0, 2, 3, 1, 4).reshape(rows * heads, -1, size)
    if q.is_cpu and q.dtype == torch.float32:  # half the time of the operator below, which calls MKL for each head
        scores = torch.baddbmm(mask, folded, keys.transpose(1, 2), alpha=scale)
        attended = torch.bmm(torch.softmax(scores, -1), values)
    else:
        attended = scaled_dot_product_attention(
            folded[:, None], keys[:, None], values[:, None], attn_mask=mask[:, None], scale=scale
        )
    return attended.view(rows, heads, shared, tokens, size).permute(0, 3, 1, 2, 4).reshape(q.shape)


@dataclass(eq=False)
class Span:
    """Tokens that are attended to together: ``tokens`` of the step."""

    tokens: slice
    _tensors: dict[tuple[Window, ...], SpanTensors] = field(default_factory=dict, init=False)

    def tensors(self, windows: tuple[Window, ...]) -> SpanTensors:
        """``windows``: those of which there are masks."""
        if windows not in self._tensors:
            self._tensors[windows] = self._made(windows)
        return self._tensors[windows]

    def _made(self, windows: tuple[Window, ...]) -> SpanTensors:
        raise NotImplementedError


@dataclass(eq=False)
class NextTokens(Span):
    """One token of each of several texts in a block."""

    block: Block
    rows: Sequence[int]
    at: Sequence[int]
    """Position of each text's token."""

    def _made(self, windows: tuple[Window, ...]) -> SpanTensors:
        kv = self.block.kv
        rows, at = (torch.tensor(each, device=kv.device) for each in (self.rows, self.at))
        side_by_side = list(self.rows) == list(range(self.rows[0], self.rows[0] + len(self.rows)))
        end = max(self.at) + 1
        return SpanTensors(
            first=self.tokens.start,
            last=self.tokens.stop,
            kv=kv,
            places=self.block.places(rows, at),
            row=self.rows[0],
            rows=len(self.rows),
            chosen=None if side_by_side else rows,
            end=end,
            folded=True,
            masks=[_mask(at[:, None], end, each, kv.dtype).repeat_interleave(kv.shape[3], 0) for each in windows],
        )


@dataclass(eq=False)
class PromptPart(Span):
    """Tokens of one text's prompt; ``before`` of them are cached."""

    text: Text
    before: int

    @property
    def end(self) -> int:
        length: int = self.tokens.stop - self.tokens.start
        return self.before + length

    def _made(self, windows: tuple[Window, ...]) -> SpanTensors:
        block, row, end = self.text.placed, self.text.row, self.end
        kv = block.kv
        positions = torch.arange(self.before, end, device=kv.device)
        causal = [not self.before and (each is None or end <= each) for each in windows]
        folded = len(positions) <= FEW and not any(causal)
        at = positions[None] if folded else positions
        return SpanTensors(
            first=self.tokens.start,
            last=self.tokens.stop,
            kv=kv,
            places=block.places(torch.full_like(positions, row), positions),
            row=row,
            rows=1,
            chosen=None,
            end=end,
            folded=folded,
            masks=[
                None if whole else _mask(at, end, each, kv.dtype) for each, whole in zip(windows, causal, strict=True)
            ],
        )


class Guess(PromptPart):
    """The last token of a text and what may follow it: as far as that is wrong, later tokens take its place."""


def _mask(positions: torch.Tensor, longest: int, window: Window, dtype: torch.dtype) -> torch.Tensor:
    """The additive mask of tokens at these positions over ``longest`` keys, which are its last dimension."""
    kept = torch.arange(longest, device=positions.device)
    seen = kept <= positions[..., None]
    if window is not None:
        seen &= kept > positions[..., None] - window
    return torch.zeros(seen.shape, dtype=dtype, device=positions.device).masked_fill_(~seen, float("-inf"))
