"""Attention for models of transformers, over texts of different lengths in one row of tokens, without padding.

The tokens of a step follow each other as a single sequence for the model: everything but attention treats tokens one by
one. Here each text attends to its own keys and values only.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
import transformers

from inference.backends.transformers import compat
from inference.backends.transformers.generation.kv_cache import Shape
from inference.backends.transformers.generation.spans import Span, Window, attend_all

NAME = "inference_generation"
Attention = Callable[..., tuple[torch.Tensor, None]]
UNKNOWN = ("softcap", "s_aux", "position_bias", "sinks")
"""Arguments of attention that change the result and are not implemented here."""


class AttentionInputs(NamedTuple):
    """Of one layer."""

    layer: int
    q: torch.Tensor
    """``[token, head, size]``"""
    kv: torch.Tensor
    """``[token, keys or values, head, size]``; several heads of ``q`` may share one of these."""
    scale: float
    window: Window


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
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    inputs = AttentionInputs(module.layer_idx, q, kv, scale, kwargs.get("sliding_window"))
    if isinstance(spans, ShapeFinder):
        spans.note(inputs)
        return torch.zeros_like(q)[None], None
    tensors = [span.tensors((inputs.window,)) for span in spans]
    return attend_all(q, kv, inputs.layer, 0, scale, tensors)[None], None


@cache
def _sdpa() -> Attention:
    found: Attention = compat.lookup("transformers.integrations.sdpa_attention.sdpa_attention_forward")
    return found


def register() -> None:
    """Make it known to transformers as ``NAME``."""
    transformers.AttentionInterface.register(NAME, ragged_attention)
    transformers.AttentionMaskInterface.register(NAME, compat.lookup("transformers.masking_utils.sdpa_mask"))
