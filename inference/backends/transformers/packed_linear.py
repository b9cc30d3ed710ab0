"""Linear layers with weights in oneDNN's own order.

PyTorch multiplies float32 on CPUs with MKL, which on AMD processors runs at half the speed of oneDNN (and both reorder
the weights in each call). These are the operators that PyTorch's own compiler emits for frozen weights; they are not
public, hence the check and the way back.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from inference.backends.base import Turn, at_once
from inference.backends.transformers import compat

logger = logging.getLogger(__name__)

ROWS_HINT = 256
ROUNDS = 10
LEAST_ROUNDS = 3
WORTH_IT = 0.95
"""Packed layers stay if they take less than this share of the time: they cost a private copy of the weights."""
ACTIVATED = (("dense", "intermediate_act_fn"), ("dense", "transform_act_fn"), ("lin1", "activation"))
"""Names, in transformers' encoders, of a linear layer and the activation that comes right after it."""

Place = tuple[nn.Module, str, nn.Module]
"""A parent, the name of an attribute, and the child that it has or gets."""


class PackedLinear(nn.Module):
    """Replaces a linear layer that is not trained any more, and the activation after it.

    ``weight`` is ``[outputs, inputs]``.
    """

    weight = None
    """T5 looks at the type of a layer's weight; it accepts that there is none."""

    def __init__(self, weight: torch.Tensor, bias: Any, activation: str = "none") -> None:
        super().__init__()
        self.bias = bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS_HINT)
        self._activation = activation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self._packed, self.bias, self._activation, [], "none" if self._activation == "gelu" else ""
        )
        return result

    @classmethod
    def of(cls, linear: nn.Linear) -> "PackedLinear":
        return cls(linear.weight, linear.bias)

    def unpacked(self) -> nn.Linear:
        weight = self._packed.to_dense()
        linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
        linear.weight, linear.bias = nn.Parameter(weight, requires_grad=False), self.bias
        return linear

    def plus(self, others: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """The product, and ``others`` added to it, in one operator."""
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, others, self._packed, self.bias, "add")
        return result


def pack_linears(model: nn.Module, example: Callable[[], torch.Tensor], turn: Turn = at_once) -> bool:
    """Pack every linear layer of ``model`` if that is right and faster; returns whether it was.

    ``example`` runs a typical batch, in a ``turn`` each time, and returns its output.
    """
    if next(model.parameters()).device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    plain, plain_s, packed_s = turn(example), float("inf"), float("inf")
    tolerance = 1e-3 if plain.dtype == torch.float32 else 0.3
    before: list[Place] = []
    try:
        compat.check(compat.PACKED_LAYERS)
        after = list(_packed(model))
        before = [(parent, name, getattr(parent, name)) for parent, name, _ in after]
        for number in range(ROUNDS):  # by turns, so that other load on the machine slows down both
            plain_s = min(plain_s, turn(lambda: _seconds(example)))
            _put(after)
            if not torch.allclose(turn(example).float(), plain.float(), rtol=tolerance, atol=tolerance):
                raise RuntimeError("their results differ")
            packed_s = min(packed_s, turn(lambda: _seconds(example)))
            if number >= LEAST_ROUNDS and packed_s < WORTH_IT * plain_s:
                return True
            _put(before)
        reason = f"they take {packed_s / plain_s:.2f} of the time"
    except (RuntimeError, AttributeError) as error:
        reason = str(error)
    _put(before)
    logger.info("Linear layers stay unpacked: %s", reason)
    return False


def _packed(model: nn.Module) -> Iterator[Place]:
    """What replaces linear layers, and activations that oneDNN computes with them.

    A linear layer is an ``nn.Linear``, or GPT-2's ``Conv1D``, whose weight is transposed.
    """
    gelu = compat.lookup("transformers.activations.GELUActivation")
    conv1d = compat.lookup("transformers.pytorch_utils.Conv1D")
    for parent in model.modules():
        activations = {
            linear: activation for linear, activation in ACTIVATED if type(getattr(parent, activation, None)) is gelu
        }
        for name, child in parent.named_children():
            if type(child) in (nn.Linear, conv1d):
                weight: Any = child.weight.T if type(child) is conv1d else child.weight
                yield parent, name, PackedLinear(weight, child.bias, "gelu" if name in activations else "none")
                if name in activations:
                    yield parent, activations[name], nn.Identity()


def _put(places: Iterable[Place]) -> None:
    for parent, name, child in places:
        setattr(parent, name, child)


def _seconds(example: Callable[[], torch.Tensor]) -> float:
    began = time.perf_counter()
    example()
    return time.perf_counter() - began
