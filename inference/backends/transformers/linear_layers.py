"""Linear layers in the form in which they are fastest here."""

from collections.abc import Callable
from typing import Any

import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.packed_linear import pack_linears
from inference.backends.transformers.quantized_linear import QuantizedLinear, quantize_linears
from inference.backends.transformers.task import Report


def prepare_linears(
    loaded: Loaded, example: Callable[[], torch.Tensor], report: Report, first: Callable[[], Any] | None = None
) -> None:
    """Quantise or pack them. ``example`` runs a ``warm_up.typical`` batch and returns its output, once ``first`` ran.

    Raises:
        LoadFailed: the model cannot be quantised.
    """
    if loaded.quantized:
        difference = quantize_linears(loaded.pipe.model, example, loaded.turn, first)
        report(f"linear layers have weights of 8 bits; outputs of the example changed by {difference:.1%}")
        return
    if first:
        loaded.turn(first)
    if pack_linears(loaded.pipe.model, example, loaded.turn):
        report("linear layers are packed for oneDNN")


def check_quantized(loaded: Loaded) -> None:
    """Raises ``LoadFailed`` where 8 bits are asked for, and the way in which the model runs has none."""
    if loaded.quantized and not any(type(module) is QuantizedLinear for module in loaded.pipe.model.modules()):
        raise LoadFailed(
            f"INFERENCE_DTYPE is int8, but {loaded.name} runs in a way that has only float32 "
            "(one input after the other, or all of its layers are small); use auto."
        )
