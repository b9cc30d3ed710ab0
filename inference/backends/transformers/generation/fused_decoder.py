"""A step of a decoder as few large operators: what Llama-like models share, without what transformers does around it.

A step of few tokens takes as long as its weights take to be read, unless operators around the products add up: stock
Llama has about 30 and seven products to a layer, this one 20 and four. ``fusing`` makes it of a loaded model.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from inference.backends.transformers.generation.attention import AttentionInputs, Span, attend_all
from inference.backends.transformers.packed_linear import add_product

Rotation = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines ``[token, 1, rotated]``; the first half of the sines is negative."""


class RMSNorm(nn.Module):
    """``weight`` is ``[..., size]``: of several heads, if each has its own."""

    def __init__(self, weight: torch.Tensor, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.eps = eps
        self._eps = torch.full((1,), eps, device=weight.device)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.dtype != torch.float32:
            normed = functional.rms_norm(inputs.float(), inputs.shape[-1:], eps=self.eps)
            return normed.to(inputs.dtype) * self.weight
        length = torch.linalg.vector_norm(inputs, dim=-1, keepdim=True)
        scale = torch.addcmul(self._eps, length, length, value=1 / inputs.shape[-1]).rsqrt_()
        return torch.mul(inputs, scale).mul_(self.weight)


class FusedLayer(nn.Module):
    """Attention and a feed-forward network with a gate; norms that a family lacks are ``None``."""

    def __init__(  # noqa: PLR0913 - the parts of a layer
        self,
        *,
        norm: nn.Module,
        qkv: nn.Linear,
        head_norm: nn.Module | None,
        output: nn.Linear,
        output_norm: nn.Module | None,
        feed_norm: nn.Module,
        gate_up: nn.Linear,
        activation: Callable[[torch.Tensor], torch.Tensor],
        down: nn.Linear,
        down_norm: nn.Module | None,
        attention: AttentionInputs,
        rotation: str | None,
    ) -> None:
        """``attention``: what the stock layer gives to its attention; ``rotation``: which of the step's."""
        super().__init__()
        self.norm, self.feed_norm = norm, feed_norm
        self.head_norm, self.output_norm, self.down_norm = head_norm, output_norm, down_norm
        self.qkv, self.output = qkv, output
        self.gate_up, self.activation, self.down = gate_up, activation, down
        self._index, self._scale, self._window = attention.layer, attention.scale, attention.window
        self._heads, self._size = attention.q.shape[1], attention.q.shape[2]
        self._kv_heads = attention.kv.shape[2]
        self._rotation = rotation

    def forward(self, states: torch.Tensor, rotations: Mapping[str, Rotation], spans: Sequence[Span]) -> torch.Tensor:
        """``states`` is changed."""
        states = _added(states, self.output, self._attended(self.norm(states), rotations, spans), self.output_norm)
        gate, up = self.gate_up(self.feed_norm(states)).chunk(2, -1)
        return _added(states, self.down, self.activation(gate).mul_(up), self.down_norm)

    def _attended(self, states: torch.Tensor, rotations: Mapping[str, Rotation], spans: Sequence[Span]) -> torch.Tensor:
        qkv = self.qkv(states).view(len(states), -1, self._size)
        qk, kv = qkv[:, : self._heads + self._kv_heads], qkv[:, self._heads :]
        if self.head_norm is not None:
            qk.copy_(self.head_norm(qk))
        if self._rotation is not None:
            _rotate(qk, *rotations[self._rotation])
        kv = kv.unflatten(1, (2, self._kv_heads))
        inputs = AttentionInputs(self._index, qkv[:, : self._heads], kv, self._scale, self._window)
        return attend_all(spans, inputs).flatten(1)


class FusedDecoder(nn.Module):
    """Token ids and positions in, scores of the vocabulary out."""

    def __init__(
        self,
        embedding: nn.Module,
        layers: Sequence[FusedLayer],
        norm: nn.Module,
        head: nn.Linear,
        rotations: Callable[[torch.Tensor, torch.Tensor], Mapping[str, Rotation]],
    ) -> None:
        """``rotations``: of any states and positions ``[1, token]``."""
        super().__init__()
        self.embedding, self.norm, self.head = embedding, norm, head
        self.layers = nn.ModuleList(layers)
        self._rotations = rotations

    def forward(
        self, ids: torch.Tensor, positions: torch.Tensor, spans: Sequence[Span], wanted: torch.Tensor
    ) -> torch.Tensor:
        """``[text, vocabulary]``: what follows the tokens at the places ``wanted``."""
        states: torch.Tensor = self.embedding(ids)
        rotations = self._rotations(states, positions[None])
        for layer in self.layers:
            states = layer(states, rotations, spans)
        scores: torch.Tensor = self.head(self.norm(states[wanted]))
        return scores


def _added(states: torch.Tensor, linear: nn.Module, inputs: torch.Tensor, norm: nn.Module | None) -> torch.Tensor:
    return add_product(states, linear, inputs) if norm is None else states.add_(norm(linear(inputs)))


def _rotate(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> None:
    """In place; the rest of each head, if fewer numbers are rotated, stays."""
    rotated = heads[..., : cosines.shape[-1]]
    half = cosines.shape[-1] // 2
    exchanged = torch.cat((rotated[..., half:], rotated[..., :half]), -1)
    rotated.mul_(cosines).addcmul_(exchanged, sines)
