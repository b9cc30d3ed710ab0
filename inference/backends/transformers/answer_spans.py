"""From the logits of a question-answering model to parts of the context.

The rules are those of the pipeline of transformers 4, which transformers 5 no longer has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Window:
    """A question and a part of its context, as the model read them."""

    encoding: Any
    """The tokenizer's own."""
    candidates: Flags
    """Tokens that an answer may begin or end with."""
    context: int
    """Which of the encoding's two sequences is the context."""

    def characters(self, first: int, last: int, *, whole_words: bool) -> tuple[int, int]:
        """Where an answer of these tokens begins and ends in the whole context."""
        offsets = self.encoding.offsets
        plain = offsets[first][0], offsets[last][1]
        words = self.encoding.token_to_word(first), self.encoding.token_to_word(last)
        if not whole_words or None in words:
            return plain
        begins, ends = (self.encoding.word_to_chars(word, self.context) for word in words)
        return plain if begins is None or ends is None else (begins[0], ends[1])


@dataclass(slots=True)
class Spans:
    """The likeliest spans of one window, and how likely it is that there is none."""

    none: float
    scores: list[float]
    first: list[int]
    last: list[int]

    def __iter__(self) -> Iterator[tuple[float, int, int]]:
        return zip(self.scores, self.first, self.last, strict=True)


def best_spans(starts: Floats, ends: Floats, candidates: Flags, *, longest: int, most: int) -> Spans:
    """Spans by the product of the probabilities that they begin and end there.

    Args:
        starts: a logit for each token, as ``ends``.
        longest: of an answer, in tokens.
        most: how many spans, best first. One that is not possible at all is left out.
    """
    begin, end = _probabilities(starts, candidates), _probabilities(ends, candidates)
    none = float(begin[0] * end[0])
    begin[0] = end[0] = 0  # what a model says of its first token is whether there is an answer
    begin, end = begin * candidates, end * candidates
    width = min(longest, len(end))
    ahead = np.lib.stride_tricks.sliding_window_view(np.pad(end, (0, width - 1)), width)
    scores = (begin[:, None] * ahead).ravel()
    most = min(most, len(scores))
    best = np.argpartition(-scores, most - 1)[:most]
    best = best[np.argsort(-scores[best], kind="stable")]
    best = best[scores[best] > 0]
    first, further = np.divmod(best, width)
    return Spans(none, scores[best].tolist(), first.tolist(), (first + further).tolist())


def _probabilities(logits: Floats, candidates: Flags) -> Floats:
    masked = np.where(candidates, logits, np.float32(-10_000))
    powers = np.exp(masked - masked.max())
    normal: Floats = powers / powers.sum()
    return normal
