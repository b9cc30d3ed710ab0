"""A step of a decoder as few large operators: what Llama-like models share, without what transformers does around it.

A step of few tokens takes as long as its weights take to be read, unless operators around the products add up: stock
Llama has about 30 and seven products to a layer, this one 20 and four. ``fusing`` makes it of a loaded model.

TorchScript compiles ``FusedStack``, so that is written in its part of Python (decision 26).
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from inference.backends.transformers import compat
from inference.backends.transformers.generation.attention import AttentionInputs
from inference.backends.transformers.generation.spans import Span, SpanTensors, Window, attend_all

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


class AddedLinear(nn.Module):
    """A linear layer, the norm after it if there is one, and the addition to what came before."""

    def __init__(self, linear: nn.Module, norm: nn.Module | None) -> None:
        super().__init__()
        self.linear: Any = linear
        self.norm = norm

    def forward(self, states: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """``states`` may be changed."""
        if self.norm is not None:
            return states.add_(self.norm(self.linear(inputs)))
        if hasattr(self.linear, "plus"):  # see ``PackedLinear``
            result: torch.Tensor = self.linear.plus(states, inputs)
        else:
            result = states.add_(self.linear(inputs))
        return result


class FusedLayer(nn.Module):
    """Attention and a feed-forward network with a gate; norms that a family lacks are ``None``."""

    def __init__(  # noqa: PLR0913 - the parts of a layer
        self,
        *,
        norm: nn.Module,
        qkv: nn.Linear,
        head_norm: nn.Module | None,
        output: AddedLinear,
        feed_norm: nn.Module,
        gate_up: nn.Linear,
        activation: nn.Module,
        down: AddedLinear,
        attention: AttentionInputs,
        window: int,
        rotation: int,
    ) -> None:
        """
        Args:
            attention: what the stock layer gives to its attention.
            window: the number of the layer's, of those of the decoder.
            rotation: which of the step's, or -1.
        """
        super().__init__()
        self.norm, self.feed_norm, self.head_norm = norm, feed_norm, head_norm
        self.qkv, self.output = qkv, output
        self.gate_up, self.activation, self.down = gate_up, activation, down
        self._index, self._scale, self._window = attention.layer, attention.scale, window
        self._heads, self._size = attention.q.shape[1], attention.q.shape[2]
        self._kv_heads = attention.kv.shape[2]
        self._rotation = rotation

    def forward(self, states: torch.Tensor, rotations: list[Rotation], spans: list[SpanTensors]) -> torch.Tensor:
        """``states`` is changed."""
        states = self.output(states, self._attended(self.norm(states), rotations, spans))
        gate, up = torch.chunk(self.gate_up(self.feed_norm(states)), 2, -1)
        result: torch.Tensor = self.down(states, self.activation(gate).mul_(up))
        return result

    def _attended(self, states: torch.Tensor, rotations: list[Rotation], spans: list[SpanTensors]) -> torch.Tensor:
        qkv = self.qkv(states).view(states.shape[0], -1, self._size)
        qk, kv = qkv[:, : self._heads + self._kv_heads], qkv[:, self._heads :]
        if self.head_norm is not None:
            qk.copy_(self.head_norm(qk))
        if self._rotation >= 0:
            cosines, sines = rotations[self._rotation]
            _rotate(qk, cosines, sines)
        kv = kv.view(states.shape[0], 2, self._kv_heads, self._size)
        q = qkv[:, : self._heads]
        return attend_all(q, kv, self._index, self._window, self._scale, spans).flatten(1)


class FusedStack(nn.Module):
    """All layers, and the scores of the vocabulary."""

    def __init__(self, layers: Sequence[FusedLayer], norm: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.layers, self.norm, self.head = nn.ModuleList(layers), norm, head

    def forward(
        self,
        states: torch.Tensor,
        rotations: list[Rotation],
        spans: list[SpanTensors],
        wanted: torch.Tensor,
    ) -> torch.Tensor:
        """``[text, vocabulary]``: what follows the tokens at the places ``wanted``; ``states`` is changed."""
        for layer in self.layers:
            states = layer(states, rotations, spans)
        scores: torch.Tensor = self.head(self.norm(states.index_select(0, wanted)))
        return scores


class FusedDecoder(nn.Module):
    """Token ids and positions in, scores of the vocabulary out."""

    def __init__(
        self,
        embedding: nn.Module,
        stack: FusedStack,
        rotations: Callable[[torch.Tensor, torch.Tensor], Sequence[Rotation]],
        windows: tuple[Window, ...],
    ) -> None:
        """``rotations``: of any states and positions ``[1, token]``; ``windows``: of attention."""
        super().__init__()
        self.embedding, self.stack = embedding, stack
        self._rotations, self._windows = rotations, windows
        self._run: Callable[..., torch.Tensor] = stack.forward

    def forward(
        self, ids: torch.Tensor, positions: torch.Tensor, spans: Sequence[Span], wanted: torch.Tensor
    ) -> torch.Tensor:
        """``[text, vocabulary]``: what follows the tokens at the places ``wanted``."""
        states: torch.Tensor = self.embedding(ids)
        tensors = [span.tensors(self._windows) for span in spans]
        return self._run(states, self._rotations(states, positions[None]), tensors, wanted)

    def compile_steps(self) -> None:
        """From now on, no step needs Python's interpreter, or its lock, between operators.

        Raises:
            compat.Missing: PyTorch has no TorchScript.
            RuntimeError: it has modules that TorchScript does not take.
        """
        compat.check(compat.COMPILED_STEPS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            compiled: Any = torch.jit.script(self.stack)
        optimized = compat.lookup("torch.jit.optimized_execution")

        def run(*given: Any) -> Any:
            with optimized(
                should_optimize=False
            ):  # it compiles again for other shapes, for half a second, and gains nothing here
                return compiled(*given)

        self._run = run

    def interpret_steps(self) -> None:
        """As before ``compile_steps``."""
        self._run = self.stack.forward


def _rotate(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> None:
    """In place; the rest of each head, if fewer numbers are rotated, stays."""
    rotated = heads[..., : cosines.shape[-1]]
    exchanged = rotated.roll(cosines.shape[-1] // 2, -1)
    rotated.mul_(cosines).addcmul_(exchanged, sines)
