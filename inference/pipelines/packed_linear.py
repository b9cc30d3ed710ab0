"""Linear layers with weights in oneDNN's own order.

PyTorch multiplies float32 on CPUs with MKL, which on AMD processors runs at half of what the same cores do in
oneDNN (and both pay for ordering the weights anew in each call). These are the operators that PyTorch's own
compiler emits for frozen weights; they are not public, hence the check and the way back.
"""

import logging
import time
from collections.abc import Callable, Iterable

import torch
from torch import nn

logger = logging.getLogger(__name__)

ROWS_HINT = 256
ROUNDS = 10
WORTH_IT = 0.95
"""Packed layers stay if they take less than this share of the time: they cost a private copy of the weights."""


class PackedLinear(nn.Module):
    """Stands in for an ``nn.Linear`` that is not trained any more."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), ROWS_HINT)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self._packed, self.bias, "none", [], "")
        return result


def pack_linears(model: nn.Module, example: Callable[[], torch.Tensor]) -> bool:
    """Pack every linear layer of ``model`` if that is right and faster; whether it was.

    ``example`` runs a typical batch and returns its output.
    """
    if next(model.parameters()).device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    layers = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear
    ]
    plain, plain_s, packed_s = example(), float("inf"), float("inf")
    tolerance = 1e-3 if plain.dtype == torch.float32 else 0.3
    try:
        packed_layers = [(parent, name, PackedLinear(layer)) for parent, name, layer in layers]
        for number in range(ROUNDS):  # by turns: whatever else the machine does, it does to both
            plain_s = min(plain_s, _seconds(example))
            _put(packed_layers)
            if not torch.allclose(example().float(), plain.float(), rtol=tolerance, atol=tolerance):
                raise RuntimeError("their results differ")
            packed_s = min(packed_s, _seconds(example))
            if number >= 2 and packed_s < WORTH_IT * plain_s:
                return True
            _put(layers)
        reason = f"they take {packed_s / plain_s:.2f} of the time"
    except (RuntimeError, AttributeError) as error:
        reason = str(error)
    _put(layers)
    logger.info("Linear layers stay unpacked: %s", reason)
    return False


def _put(layers: Iterable[tuple[nn.Module, str, nn.Module]]) -> None:
    for parent, name, layer in layers:
        setattr(parent, name, layer)


def _seconds(example: Callable[[], torch.Tensor]) -> float:
    began = time.perf_counter()
    example()
    return time.perf_counter() - began
