"""Which way to run a loaded pipeline: the fastest one that gives the stock pipeline's results here."""

import logging
from collections.abc import Callable
from itertools import chain
from typing import Any, TypeGuard

import msgspec
import torch

from inference.backends.base import BatchedPipeline, Outcome
from inference.backends.transformers.encoder import Chunked, Encoder, TextClassification, TokenClassification
from inference.backends.transformers.feature_extraction import FeatureExtraction
from inference.backends.transformers.fill_mask import FillMask, PlainFillMask
from inference.backends.transformers.generation.self_check import continuous
from inference.backends.transformers.loading import Loaded
from inference.backends.transformers.packed_linear import pack_linears
from inference.backends.transformers.ragged import Ragged
from inference.backends.transformers.unbatched import TextGeneration, Unbatched
from inference.backends.transformers.warm_up import example, prepared
from inference.conf import Conf

logger = logging.getLogger(__name__)

ENCODERS: dict[str, type[Encoder]] = {
    "fill-mask": PlainFillMask,
    "feature-extraction": FeatureExtraction,
    "text-classification": TextClassification,
    "token-classification": TokenClassification,
    "zero-shot-classification": Chunked,
}
Answers = list[dict[str, Any]]


def choose(loaded: Loaded, conf: Conf, report: Callable[[str], None]) -> BatchedPipeline:
    """A pipeline that cannot be split is called as a whole; a fast path that fails its self-check is left out."""
    kind = ENCODERS.get(loaded.task)
    if loaded.task == "text-generation":
        return continuous(loaded, conf, report) or TextGeneration(loaded)
    if kind is None or loaded.pipe.tokenizer.pad_token_id is None:
        return Unbatched(loaded)
    encoder = kind(loaded, conf)
    items = prepared(encoder, [example(loaded.task, encoder.description.mask_token)] * 8)
    rows = [row for item in items for row in item.rows]
    if pack_linears(
        loaded.pipe.model, lambda: torch.cat([tensor.flatten() for tensor in _tensors(encoder.forward(rows))])
    ):
        report("linear layers are packed for oneDNN")
    if isinstance(encoder, PlainFillMask):
        encoder = _fast_fill_mask(loaded, conf, encoder)
    if loaded.device == "cpu" and _runs_without_padding(encoder, loaded):
        report("batches run without padding")
    return encoder


def _runs_without_padding(encoder: Encoder, loaded: Loaded) -> bool:
    """Take ``encoder`` to the ragged layout if its outputs stay what they are."""
    description = encoder.description
    longest = 8 if description.longest_input >= 512 else 0  # a tiny model may not take the long ones
    jobs = [example(loaded.task, description.mask_token, longer=longer) for longer in (0, 1 if longest else 0, longest)]
    rows = [row for item in prepared(encoder, jobs) for row in item.rows]
    padded, wanted = encoder.layout, _tensors(encoder.forward(rows))
    ragged = Ragged(loaded.pipe.model, loaded.pipe.tokenizer, by_token=bool(encoder.token_outputs))
    try:
        ragged.enter()
        encoder.layout = ragged
        tolerance = 1e-4 if loaded.dtype == "float32" else 0.3
        pairs = zip(_tensors(encoder.forward(rows)), wanted, strict=True)
        if all(torch.allclose(mine, theirs, rtol=tolerance, atol=tolerance) for mine, theirs in pairs):
            return True
        reason = "its outputs would differ"
    except Exception as error:
        reason = repr(error)
    ragged.close()
    encoder.layout = padded
    logger.info("%s pads its batches: %s", description.model, reason)
    return False


def _tensors(outputs: "torch.Tensor | list[dict[str, torch.Tensor]]") -> list[torch.Tensor]:
    """What ``Encoder.forward`` returns, one after the other."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [value for row in outputs for value in row.values()]


def _fast_fill_mask(loaded: Loaded, conf: Conf, plain: PlainFillMask) -> Encoder:
    wanted = _answers(plain)
    fast = FillMask(loaded, conf)
    try:
        tolerance = 1e-4 if loaded.dtype == "float32" else 0.05
        if all(_alike(mine, theirs, tolerance) for mine, theirs in zip(_answers(fast), wanted, strict=True)):
            return fast
        reason = "its answers differ from the stock pipeline's"
    except Exception as error:
        reason = repr(error)
    fast.close()
    logger.warning("fill-mask runs without its fast path: %s", reason)
    return plain


def _answers(encoder: Encoder) -> list[Answers]:
    """What the masks of a mixed batch are filled with; those of several masks one after the other."""
    mask = encoder.description.mask_token
    jobs = [example("fill-mask", mask), example("fill-mask", mask, masks=2), example("fill-mask", mask, longer=1)]
    outcomes = encoder.run(prepared(encoder, jobs))
    outputs = [msgspec.json.decode(outcome) for outcome in outcomes if _is_json(outcome)]
    return [list(chain(*output)) if isinstance(output[0], list) else output for output in outputs]


def _is_json(outcome: Outcome) -> TypeGuard[bytes]:
    if isinstance(outcome, bytes):
        return True
    raise outcome


def _alike(mine: Answers, theirs: Answers, tolerance: float) -> bool:
    """Scores agree in order; where both name a word, so do its text and the sequence. Near ties may swap."""
    words = {answer["token"]: answer for answer in theirs}
    same = [(answer, words[answer["token"]]) for answer in mine if answer["token"] in words]
    return (
        len(mine) == len(theirs)
        and 2 * len(same) > len(mine)
        and all(abs(a["score"] - b["score"]) <= tolerance for a, b in zip(mine, theirs, strict=True))
        and all(a["token_str"] == b["token_str"] for a, b in same)
    )
