"""Linear layers with weights in oneDNN's own order.

PyTorch multiplies float32 on CPUs with MKL, which on AMD processors runs at half of what the same cores do in
oneDNN (and both pay for ordering the weights anew in each call). These are the operators that PyTorch's own
compiler emits for frozen weights; they are not public, hence the check and the way back.
"""

import logging
import time
from collections.abc import Callable

import torch
from torch import nn

logger = logging.getLogger(__name__)

ROWS_HINT = 256
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
    wanted, plain_s = _timed(example)
    layers = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear
    ]
    try:
        for parent, name, layer in layers:
            setattr(parent, name, PackedLinear(layer))
        got, packed_s = _timed(example)
        tolerance = 1e-3 if wanted.dtype == torch.float32 else 0.3
        right = torch.allclose(got.float(), wanted.float(), rtol=tolerance, atol=tolerance)
        if right and packed_s < WORTH_IT * plain_s:
            return True
        reason = f"they take {packed_s / plain_s:.2f} of the time" if right else "their results differ"
    except (RuntimeError, AttributeError) as error:
        reason = repr(error)
    for parent, name, layer in layers:
        setattr(parent, name, layer)
    logger.info("Linear layers stay unpacked: %s", reason)
    return False


def _timed(example: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    """The output, and the best of a few times."""
    output = example()
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        example()
        best = min(best, time.perf_counter() - began)
    return output, best
