"""Packed linear layers in place of the original ones, one after the other: the weights are in memory once.

``pack_linears`` measures the whole model both ways, and has its weights twice meanwhile. Here a few layers decide.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import nn

from inference.backends.base import Turn, at_once
from inference.backends.transformers import compat
from inference.backends.transformers.devices import release_memory
from inference.backends.transformers.half_linear import HalfEmbedding, HalfLinear
from inference.backends.transformers.packed_linear import ROUNDS, WORTH_IT, PackedLinear

logger = logging.getLogger(__name__)

KINDS: dict[type[Any], tuple[str, str]] = {
    HalfLinear: (compat.HALF_WEIGHTS, "linear layers have weights of 16 bits"),
    PackedLinear: (compat.PACKED_LAYERS, "linear layers are packed for oneDNN"),
}
"""What may replace a linear layer, the best first, with the names that it needs, and what is said of it."""
ROWS = 8
"""Of the inputs that are measured."""
PACKERS = 2
"""Threads that pack, each a layer at a time: it is one core's work, and its layers are in memory twice meanwhile."""
SECOND_COPY = 0.25
"""The head of tied embeddings is packed if what is kept of them beside it is at most this part of the weights."""


def pack_in_place(
    model: nn.Module, sample: nn.Module, example: Callable[[], torch.Tensor], turn: Turn = at_once
) -> str:
    """Replace linear layers of ``model`` by a kind that is faster for those of ``sample``; returns what was done.

    ``example`` runs a typical batch, and returns its output.
    """
    kind, reason = _worth_it(_linears(sample), turn)
    if kind is not None:
        plain = turn(example)
        _exchange(model, nn.Embedding, lambda each: HalfEmbedding(each) if HalfEmbedding.holds(each) else each)
        tied = {linear for linear in _linears(model) if _is_tied(linear, model)}
        _exchange(model, nn.Linear, lambda each: each if each in tied else _packed(each, kind))
        tolerance = 1e-3 if plain.dtype == torch.float32 else 0.3
        if torch.allclose(turn(example).float(), plain.float(), rtol=tolerance, atol=tolerance):
            return KINDS[kind][1]
        for each in KINDS:
            _exchange(model, each, each.unpacked)
        reason = "their results differ"
    logger.info("Linear layers stay unpacked: %s", reason)
    return ""


def _linears(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if type(module) is nn.Linear]


def _worth_it(linears: Sequence[nn.Linear], turn: Turn) -> tuple[type[Any] | None, str]:
    """The first kind of layer that computes these faster; or none, and why."""
    reasons = []
    for kind, (needed, _) in KINDS.items():
        try:
            compat.check(needed)
            if kind is HalfLinear and not all(map(HalfLinear.holds, linears)):
                continue
            packed = [kind.of(linear) for linear in linears]
            ratio = turn(partial(_ratio, linears, packed))
        except (RuntimeError, AttributeError) as error:
            reasons.append(str(error).partition("\n")[0])
            continue
        if ratio < WORTH_IT:
            return kind, ""
        reasons.append(f"they take {ratio:.2f} of the time")
    return None, "; ".join(reasons)


def _ratio(linears: Sequence[nn.Module], packed: Sequence[nn.Module]) -> float:
    """The time that these take packed, as a part of what they take as they are: the best of several turns."""
    inputs = [torch.randn(ROWS, linear.in_features, dtype=linear.weight.dtype) for linear in linears]  # type: ignore[call-overload]
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for way, layers in enumerate((linears, packed)):
            began = time.perf_counter()
            for layer, each in zip(layers, inputs, strict=True):
                layer(each)
            best[way] = min(best[way], time.perf_counter() - began)
    return best[1] / best[0]


def _packed(linear: nn.Linear, kind: type[Any]) -> nn.Module:
    fits = kind is not HalfLinear or HalfLinear.holds(linear)
    made: nn.Module = (kind if fits else PackedLinear).of(linear)
    return made


def _exchange(model: nn.Module, kind: type[nn.Module], new: Callable[[Any], nn.Module]) -> None:
    """A few at once, so that old layers are freed before the next new ones are made."""

    def exchange(place: tuple[nn.Module, str]) -> None:
        parent, name = place
        setattr(parent, name, new(getattr(parent, name)))
        release_memory("cpu")

    places = [(m, name) for m in model.modules() for name, child in m.named_children() if isinstance(child, kind)]
    threads = torch.get_num_threads()
    alone = partial(torch.set_num_threads, 1)
    try:
        with ThreadPoolExecutor(min(PACKERS, threads), "packing", initializer=alone) as packers:
            list(packers.map(exchange, places))
    finally:
        torch.set_num_threads(threads)


def _is_tied(linear: nn.Linear, model: nn.Module) -> bool:
    """Whether packing it would keep a second copy that is too large."""
    weight = linear.weight
    if not any(isinstance(each, nn.Embedding) and each.weight is weight for each in model.modules()):
        return False
    return weight.numel() > SECOND_COPY * sum(each.numel() for each in model.parameters())
