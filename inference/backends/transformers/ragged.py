"""Batches without padding: sequences end to end in one row, attention within each.

Padding is computed like text and thrown away, and on texts of mixed length it is a fifth of the work even where alike
lengths share a batch. Everything in an encoder but attention works token by token, so the sequences of a batch can
lie one after the other; only attention must know where each ends. Batches then need not be of alike lengths,
and their sizes, rounded up to a few, are shapes that oneDNN has compiled before (2 ms for each new one).

The method is that of "sequence packing" (https://arxiv.org/abs/2107.02027) as FlashAttention's variable-length kernels
serve it on GPUs.
"""

import threading
from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn import functional

from inference.backends.sizes import rounded_up
from inference.backends.transformers import compat
from inference.backends.transformers.description import first_position
from inference.backends.transformers.rows import Row

NAME = "inference_ragged"
UNDERSTOOD = {"dropout", "position_ids", "token_type_ids"}
"""Arguments of attention that change nothing here; any other (a sliding window, a position bias) does."""

LONGEST_BY_HAND = 256
"""Up to this many tokens, two float32 products and a softmax take two thirds of the fused kernel's time."""

Run = tuple[int, int]
"""Sequences of one length that follow each other: how many, and how long."""


class Ragged:
    """The layout ``[1, tokens]``. ``enter`` changes the model for it, ``close`` changes it back.

    Args:
        by_token: there is an output for each token. Otherwise heads and poolers, which read the first token of each
            row, get the first token of each sequence.
    """

    pads = False

    def __init__(self, model: Any, tokenizer: Any, *, by_token: bool) -> None:
        self._model = model
        self._by_token = by_token
        self._hooks: list[Any] = []
        self._device = model.device
        self._filler = tokenizer.pad_token_id or 0
        self._first = first_position(model.config)
        self._call = threading.local()
        self._before: str | None = None

    def enter(self) -> None:
        """Raises ``compat.Missing``, or whatever a model raises whose attention cannot be exchanged."""
        compat.check(compat.NO_PADDING)
        transformers.AttentionInterface.register(NAME, attention)
        self._before = self._model.config._attn_implementation
        base, pooler = self._model.base_model, getattr(self._model.base_model, "pooler", None)
        if not self._by_token:
            self._hooks.append(base.register_forward_hook(self._keep_starts))
        if isinstance(pooler, nn.Module):
            self._hooks.append(pooler.register_forward_pre_hook(self._give_starts))
        self._model.set_attn_implementation(NAME)

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()
        if self._before is not None:
            self._model.set_attn_implementation(self._before)

    def arguments(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The model's arguments: tensors ``[1, tokens]``, rounded up, and the runs for attention."""
        lengths = [row.length for row in rows]
        excess = rounded_up(sum(lengths)) - sum(lengths)
        runs = [(len(list(alike)), length) for length, alike in groupby(lengths)]
        positions = [position for length in lengths for position in range(self._first, self._first + length)]
        tensors = {
            name: self._tensor([token for row in rows for token in row.inputs[name]], excess)
            for name in rows[0].inputs
            if name != "attention_mask"
        }
        if self._hooks:
            self._call.starts = torch.tensor([0, *accumulate(lengths[:-1])], device=self._device)
        return tensors | {
            "position_ids": self._tensor(positions, excess),
            "runs": [*runs, (1, excess)] if excess else runs,
        }

    def per_row(self, value: torch.Tensor, rows: Sequence[Row]) -> list[torch.Tensor]:
        """An output ``[1, tokens, ...]`` as one ``[1, length, ...]`` for each row."""
        lengths = [row.length for row in rows]
        return list(torch.split(value[:, : sum(lengths)], lengths, dim=1))

    def _tensor(self, values: list[int], excess: int) -> torch.Tensor:
        return torch.tensor([values + [self._filler] * excess], device=self._device)

    def _keep_starts(self, _module: Any, _inputs: Any, output: Any) -> Any:
        output.last_hidden_state = self._at_starts(output.last_hidden_state)
        return output

    def _give_starts(self, _module: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return self._at_starts(inputs[0]), *inputs[1:]

    def _at_starts(self, hidden: torch.Tensor) -> torch.Tensor:
        """Of ``[1, tokens, hidden]`` the first token of each sequence: ``[rows, 1, hidden]``."""
        return hidden[0, self._call.starts].unsqueeze(1)


def attention(  # noqa: PLR0913 - transformers' interface
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    runs: Sequence[Run],
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Within each sequence of ``[1, heads, tokens, size]``; the result is ``[1, tokens, heads, size]``.

    Raises:
        NotImplementedError: the model needs more of attention than that.
    """
    asked = {name for name, given in others.items() if given is not None and given is not False} - UNDERSTOOD
    if attention_mask is not None or asked or getattr(module, "is_causal", False):
        raise NotImplementedError(f"attention with {', '.join(sorted(asked)) or 'a mask'}")
    _, heads, tokens, size = query.shape
    by_token = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
    result = query.new_empty(tokens, heads, size)
    first = 0
    for count, length in runs:
        part = slice(first, first := first + count * length)
        q, k, v = (tensor[part].reshape(count, length, heads, size).transpose(1, 2) for tensor in by_token)
        attended = _attended(q, k, v, scaling)
        result[part] = attended.transpose(1, 2).flatten(0, 1)
    return result.unsqueeze(0), None


def _attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Attention of tensors ``[count, heads, length, size]``."""
    length, size = q.shape[-2:]
    if q.dtype != torch.float32 or length > LONGEST_BY_HAND:
        return functional.scaled_dot_product_attention(q, k, v, scale=scaling)
    scores = torch.matmul(q * (scaling or size**-0.5), k.transpose(2, 3))
    return torch.matmul(scores.softmax(-1), v)
