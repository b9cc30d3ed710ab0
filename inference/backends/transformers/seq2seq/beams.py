"""Beam search as ``generate`` does it, for texts that begin and end at different times.

https://huggingface.co/docs/transformers/generation_strategies describes it, and ``GenerationMixin._beam_search`` is
what the results are those of.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch

from inference.messaging.messages import FinishReason

IMPOSSIBLE = -1e9
"""Added to the score of a continuation that must not be chosen."""


class Candidate(NamedTuple):
    """A continuation of one of a text's sequences."""

    score: float
    row: int
    token: int


class Hypothesis(NamedTuple):
    """A finished text."""

    score: float
    ids: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class BeamSettings:
    width: int
    length_penalty: float
    early_stopping: bool | Literal["never"]
    end_tokens: frozenset[int]
    prompt_tokens: int
    longest: int
    """Tokens of a whole sequence, its prompt included."""
    stops: Callable[[Sequence[int]], bool] | None = None
    """Whether these tokens end with a stop string."""

    @property
    def candidates(self) -> int:
        """Enough that one for each row remains if all others end."""
        return max(2, 1 + len(self.end_tokens)) * self.width

    def normalized(self, score: float, length: int) -> float:
        """Of a sequence of so many generated tokens."""
        return score / float(length**self.length_penalty)


@dataclass(frozen=True)
class Beams:
    """The search for one text, at one moment: never changed, so that a step which fails leaves it as it was."""

    settings: BeamSettings
    sequences: Sequence[Sequence[int]]
    """As many as ``width``, best first; only the prompt at the beginning."""
    scores: Sequence[float] = (0.0,)
    finished: Sequence[Hypothesis] = ()
    """The best ones, best first."""
    origins: Sequence[int] = ()
    """Of each sequence: the row of the step before that it continues."""
    done: bool = False

    @property
    def width(self) -> int:
        return self.settings.width

    @property
    def best(self) -> Sequence[int]:
        return self.finished[0].ids if self.finished else self.sequences[0]

    @property
    def score(self) -> float:
        """Of the best one: the mean of its tokens' logarithms, unless the length is weighed otherwise."""
        return self.finished[0].score if self.finished else self.scores[0]

    @property
    def finish_reason(self) -> FinishReason:
        """Of the best one."""
        settings, ids = self.settings, self.best
        if ids[-1] in settings.end_tokens:
            return "eos_token"
        if settings.stops is not None and settings.stops(ids[settings.prompt_tokens :]):
            return "stop_sequence"
        return "length"

    def after(self, candidates: Sequence[Candidate]) -> "Beams":
        """One token later. ``candidates``: the likeliest of all continuations, best first."""
        settings, length = self.settings, len(self.sequences[0]) + 1
        generated = length - settings.prompt_tokens
        extended = [[*self.sequences[each.row], each.token] for each in candidates]
        ends = [self._ends(ids) for ids in extended]
        new = [
            Hypothesis(settings.normalized(candidate.score, generated), ids)
            for candidate, ids, end in zip(candidates[: self.width], extended, ends, strict=False)
            if end
        ]
        found = [*self.finished, *(each for each in new if each.score > IMPOSSIBLE)]
        finished = sorted(found, key=lambda each: -each.score)[: self.width]
        scores = [candidate.score + IMPOSSIBLE * end for candidate, end in zip(candidates, ends, strict=True)]
        going_on = sorted(range(len(candidates)), key=lambda index: -scores[index])[: self.width]
        later = replace(
            self,
            sequences=[extended[index] for index in going_on],
            scores=[scores[index] for index in going_on],
            finished=finished,
            origins=[candidates[index].row for index in going_on],
        )
        return replace(later, done=all(ends) or later.settled(generated))

    def _ends(self, ids: Sequence[int]) -> bool:
        settings = self.settings
        if ids[-1] in settings.end_tokens or len(ids) >= settings.longest:
            return True
        return settings.stops is not None and settings.stops(ids[settings.prompt_tokens :])

    def settled(self, generated: int) -> bool:
        """Whether enough texts have ended, and none of those that go on is expected to become better than them."""
        settings = self.settings
        if len(self.finished) < self.width:
            return False
        if settings.early_stopping is True:
            return True
        if settings.early_stopping == "never" and settings.length_penalty > 0:
            generated = settings.longest - settings.prompt_tokens
        return settings.normalized(self.scores[0], generated) <= self.finished[-1].score


def advanced(logits: torch.Tensor, searches: Sequence[Beams], processors: Sequence[Any]) -> list[Beams]:
    """Each search one token later, for ``logits[row, vocabulary]`` of all their rows, one search after the other.

    Raises:
        ValueError: a score is not a number.
    """
    logprobs = logits.float().log_softmax(-1)
    later, first = [], 0
    for search, process in zip(searches, processors, strict=True):
        rows = slice(first, first + len(search.sequences))
        first = rows.stop
        scores = logprobs[rows]
        if process:
            scores = process(torch.tensor(search.sequences, device=logits.device), scores)
        scores = scores + torch.tensor(search.scores, device=logits.device)[:, None]
        best, indices = scores.flatten().topk(min(search.settings.candidates, scores.numel()))
        if not bool(best[0] > IMPOSSIBLE):
            raise ValueError("the model's scores are not numbers")
        vocabulary = scores.shape[-1]
        chosen = zip(best.tolist(), indices.tolist(), strict=True)
        later.append(search.after([Candidate(score, *divmod(index, vocabulary)) for score, index in chosen]))
    return later
