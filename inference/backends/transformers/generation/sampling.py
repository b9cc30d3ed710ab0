"""The next token of each text, as ``generate`` chooses it; draws depend on the seed and the position only."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from inference.backends.transformers.generation.adjustments import NEVER, Adjustments, adjust

if TYPE_CHECKING:
    from inference.backends.transformers.generation.grammar import GrammarState

NUCLEUS = 1024
"""Likeliest tokens that are searched for ``top_p`` first: sorting the whole vocabulary takes long."""
ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Sampling:
    do_sample: bool
    seed: int = 0
    temperature: float = 1.0
    top_k: int = 0
    """0: any."""
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    processors: Callable[[Any, Any], Any] | None = None
    """``generate``'s own, instead of the above, where the model's configuration sets others too."""
    adjustments: Adjustments | None = None
    """After either of them."""
    grammar: "GrammarState | None" = None
    """Before all of them, and whatever they do: a token that it does not allow never comes."""
    top_n_tokens: int = 0
    """How many of the likeliest tokens are told at each step."""

    @property
    def kind(self) -> str:
        """Which of ``DRAWS``."""
        if self.processors is not None or not (self.top_k or self.top_p < 1):
            return "all"
        return "top_k" if self.top_k else "top_p"


class SampledToken(NamedTuple):
    token: int
    logprob: float
    """Natural logarithm of its probability by the model's unprocessed scores."""
    top: Sequence[tuple[int, float]] = ()
    """The likeliest tokens by the same scores, with theirs."""


class SamplingInput(NamedTuple):
    """Of one text: its tokens so far, and the position of the next one among those that are generated."""

    sampling: Sampling
    ids: Sequence[int]
    position: int

    @property
    def generated(self) -> Sequence[int]:
        return self.ids[len(self.ids) - self.position :]


def sample(logits: torch.Tensor, texts: Sequence[SamplingInput]) -> list[SampledToken]:
    """One per text, in order, for ``logits[text, vocabulary]``.

    Raises:
        ValueError: a score is not a number, so no token can be drawn.
    """
    logits = logits.float()
    scores = _constrained(logits, texts)
    tokens = scores.argmax(-1)
    drawn = [row for row, text in enumerate(texts) if text.sampling.do_sample]
    for kind in sorted({texts[row].sampling.kind for row in drawn}):
        rows = [row for row in drawn if texts[row].sampling.kind == kind]
        tokens[rows] = DRAWS[kind](scores[rows], [texts[row] for row in rows])
    everything = logits.logsumexp(-1)
    logprobs = logits.gather(-1, tokens[:, None])[:, 0] - everything
    sampled = [SampledToken(*token) for token in zip(tokens.tolist(), logprobs.tolist(), strict=True)]
    if told := [row for row, text in enumerate(texts) if text.sampling.top_n_tokens]:
        best, ids = logits[told].topk(min(max(texts[row].sampling.top_n_tokens for row in told), logits.shape[-1]))
        best -= everything[told, None]
        for row, *top in zip(told, ids.tolist(), best.tolist(), strict=True):
            likeliest = [*zip(*top, strict=True)][: texts[row].sampling.top_n_tokens]
            sampled[row] = SampledToken(sampled[row].token, sampled[row].logprob, likeliest)
    return sampled


def uniform(seed: int, index: int) -> float:
    """A number from 0 to 1 that depends on the seed and the position only."""
    digest = blake2b(struct.pack("<qq", seed, index), digest_size=8).digest()
    return float(int.from_bytes(digest, "little") >> 11) / (1 << 53)


def _constrained(logits: torch.Tensor, texts: Sequence[SamplingInput]) -> torch.Tensor:
    """Scores after everything but the temperature; those of tokens that a grammar does not allow are minus infinity."""
    following = {row: grammar for row, text in enumerate(texts) if (grammar := text.sampling.grammar)}
    if not following:
        return _processed(logits, texts)
    rows = [*following]
    allowed = torch.stack([following[row].allowed(texts[row].generated, logits.shape[-1]) for row in rows])
    forbidden = ~allowed.to(logits.device)
    logits = logits.clone()
    logits[rows] = logits[rows].masked_fill(forbidden, NEVER)
    scores = _processed(logits, texts).clone()
    scores[rows] = scores[rows].masked_fill(forbidden, NEVER)
    for row in rows:
        if bool((scores[row] == NEVER).all()):  # processors or biases forbid all that the grammar allows
            scores[row] = logits[row]
    return scores


def _processed(logits: torch.Tensor, texts: Sequence[SamplingInput]) -> torch.Tensor:
    """Scores after the processors that ``generate`` applies to greedy search as well."""
    touched = [text.sampling.processors or text.sampling.repetition_penalty != 1 for text in texts]
    shifts = {row: each.shifts(text.generated) for row, text in enumerate(texts) if (each := text.sampling.adjustments)}
    if not (any(touched) or shifts):
        return logits
    scores = logits.clone()
    for row, text in enumerate(texts):
        if not touched[row]:
            continue
        ids = torch.tensor(text.ids, device=logits.device)
        if text.sampling.processors is not None:
            scores[row] = text.sampling.processors(ids[None], scores[row : row + 1])[0]
        else:
            seen, penalty = scores[row, ids], text.sampling.repetition_penalty
            scores[row, ids] = torch.where(seen < 0, seen * penalty, seen / penalty)
    adjust(scores, shifts)
    return scores


def _from_all(scores: torch.Tensor, texts: Sequence[SamplingInput]) -> torch.Tensor:
    return _pick(_tempered(scores, texts).softmax(-1), texts)


def _from_top_k(scores: torch.Tensor, texts: Sequence[SamplingInput]) -> torch.Tensor:
    top_k = torch.tensor([min(text.sampling.top_k, scores.shape[-1]) for text in texts], device=scores.device)
    best, candidates = _tempered(scores, texts).topk(int(top_k.max()))
    others = torch.arange(best.shape[-1], device=scores.device) >= top_k[:, None]
    return _from_nucleus(best.masked_fill(others, float("-inf")).softmax(-1), candidates, texts)


def _from_top_p(scores: torch.Tensor, texts: Sequence[SamplingInput]) -> torch.Tensor:
    scores = _tempered(scores, texts)
    everything = scores.logsumexp(-1, keepdim=True)
    for most in (min(NUCLEUS, scores.shape[-1]), scores.shape[-1]):
        best, candidates = scores.topk(most)
        probabilities = (best - everything).exp()
        if bool((probabilities.sum(-1) >= _top_p(texts, scores)[:, 0]).all()):
            break
    return _from_nucleus(probabilities, candidates, texts)


DRAWS = {"all": _from_all, "top_k": _from_top_k, "top_p": _from_top_p}


def _from_nucleus(
    probabilities: torch.Tensor, candidates: torch.Tensor, texts: Sequence[SamplingInput]
) -> torch.Tensor:
    """``candidates`` and their probabilities come likeliest first; tokens are drawn in the vocabulary's order.

    So the order of near ties, which can depend on the other texts of the batch, does not change what is drawn.
    """
    before = probabilities.cumsum(-1) - probabilities
    candidates, order = candidates.sort(-1)
    kept = probabilities.masked_fill(before >= _top_p(texts, probabilities), 0.0).gather(-1, order)
    return candidates.gather(-1, _pick(kept, texts)[:, None])[:, 0]


def _pick(probabilities: torch.Tensor, texts: Sequence[SamplingInput]) -> torch.Tensor:
    """The index at which the sum of probabilities passes the text's random number. They need not sum to 1."""
    sums = probabilities.cumsum(-1)
    total = sums[:, -1:]
    if not bool((total.isfinite() & (total > 0)).all()):
        raise ValueError("the model's scores are not numbers")
    number = torch.tensor([[uniform(text.sampling.seed, text.position)] for text in texts], dtype=torch.float64)
    below = torch.minimum(number.to(total.device) * total, total.nextafter(torch.zeros_like(total)))
    return torch.searchsorted(sums, below, right=True)[:, 0]


def _tempered(scores: torch.Tensor, texts: Sequence[SamplingInput]) -> torch.Tensor:
    temperatures = [1.0 if text.sampling.processors else text.sampling.temperature for text in texts]
    return scores.double() / torch.tensor(temperatures, dtype=torch.float64, device=scores.device)[:, None]


def _top_p(texts: Sequence[SamplingInput], like: torch.Tensor) -> torch.Tensor:
    top_p = [min(text.sampling.top_p, 1 - ROUNDING) for text in texts]
    return torch.tensor(top_p, dtype=torch.float64, device=like.device)[:, None]
