"""Linear layers with weights of 8 bits on a CPU: a quarter of the memory to read, and 8-bit multiplications.

Weights are rounded per output, activations per token while the model runs: what an input gets does not depend on the
inputs beside it. Some columns of activations are far larger than the others, and rounding a token by its largest value
would lose the rest; so a part of each column's range is moved to the weights beforehand (SmoothQuant, equation 4 of
https://arxiv.org/abs/2211.10438), as an example shows the ranges.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from inference.backends.base import LoadFailed, Turn, at_once
from inference.backends.transformers import compat

VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")
"""Processor features, of which any multiplies 8-bit numbers without saturation."""
MOVED = 0.5
"""Exponent of the activations' range; the paper's alpha."""
LEAST_WEIGHTS = 2**14
"""Smaller layers, such as heads of classifiers, gain nothing."""
MOST_DIFFERENCE = 0.5
"""Of the example's outputs, in norm: beyond it, a model cannot be used like this."""
SMALLEST = 1e-6


class QuantizedLinear(nn.Module):
    """Replaces a linear layer that is not trained any more.

    Args:
        weight: ``[outputs, inputs]``.
        ranges: the largest magnitude of each input, ``[inputs]``.
        bits: of a weight.
    """

    weight = None
    """T5 looks at the type of a layer's weight; it accepts that there is none."""

    def __init__(self, weight: torch.Tensor, bias: Any, ranges: torch.Tensor, bits: int) -> None:
        super().__init__()
        self.bias, self._smallest = bias, SMALLEST
        moved = ranges.clamp(min=SMALLEST) ** MOVED / weight.abs().amax(0).clamp(min=SMALLEST) ** (1 - MOVED)
        self._divisor = moved.reciprocal()
        self._packed = torch.ops.quantized.linear_prepack(_rounded(weight * moved, bits), None)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        evened = inputs * self._divisor
        largest = evened.abs().amax(-1, keepdim=True).clamp_(min=self._smallest)
        result: torch.Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            evened.div_(largest), 1 / 127, 128, self._packed
        )
        bias = self.bias
        return result.mul_(largest) if bias is None else torch.addcmul(bias, result, largest)


def _rounded(weight: torch.Tensor, bits: int) -> torch.Tensor:
    scales = weight.abs().amax(1).clamp(min=SMALLEST).double() / (2 ** (bits - 1) - 1)
    with warnings.catch_warnings():
        # Deprecated without an equal: ``onednn.qlinear_pointwise`` takes twice as long for few tokens.
        # https://github.com/pytorch/pytorch/issues/184982
        warnings.simplefilter("ignore", UserWarning)
        return torch.quantize_per_channel(weight, scales, torch.zeros(len(scales), dtype=torch.long), 0, torch.qint8)


@torch.inference_mode()
def quantize_linears(
    model: nn.Module, example: Callable[[], torch.Tensor], turn: Turn = at_once, first: Callable[[], Any] | None = None
) -> float:
    """Replace the linear layers of ``model``; returns by how much of their norm the example's outputs changed.

    ``example`` runs a batch, in a ``turn`` each time, and returns its output; ``first`` is run once before it. The
    ranges of activations are those of both.

    Raises:
        LoadFailed: they changed too much.
        compat.Missing: PyTorch has no such layers here.
    """
    compat.check(compat.QUANTIZED_LAYERS)
    bits = 8 if any(torch.cpu.get_capabilities().get(name) for name in VNNI) else 7
    exact, ranges = _watched(model, lambda: ((turn(first) if first else None), turn(example))[1])
    for parent, name, child in list(_linears(model)):
        weight = child.weight if type(child) is nn.Linear else child.weight.T
        seen = ranges.get(child, weight.abs().amax(0))  # of those that the example does not reach, nothing is moved
        setattr(parent, name, QuantizedLinear(weight, child.bias, seen, bits))
    difference = float((turn(example) - exact).norm() / exact.norm())
    if not difference < MOST_DIFFERENCE:
        raise LoadFailed(
            f"With INFERENCE_DTYPE=int8, outputs of this model would differ by {difference:.0%}; use auto or bfloat16."
        )
    return difference


def _watched(model: nn.Module, run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, dict[Any, torch.Tensor]]:
    """What ``run`` returns, and the largest magnitude of each input of each linear layer meanwhile."""
    ranges: dict[Any, torch.Tensor] = {}

    def watch(layer: Any, inputs: Any) -> None:
        largest = inputs[0].abs().flatten(0, -2).amax(0)
        ranges[layer] = torch.maximum(ranges[layer], largest) if layer in ranges else largest

    hooks = [child.register_forward_pre_hook(watch) for _, _, child in _linears(model)]
    try:
        return run(), ranges
    finally:
        for hook in hooks:
            hook.remove()


def _linears(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    """Each with its parent and name: ``nn.Linear``, or GPT-2's ``Conv1D``, whose weight is transposed."""
    kinds = (nn.Linear, compat.lookup("transformers.pytorch_utils.Conv1D"))
    for parent in model.modules():
        for name, child in parent.named_children():
            layer: Any = child
            if type(layer) in kinds and layer.weight.numel() >= LEAST_WEIGHTS:
                yield parent, name, layer
