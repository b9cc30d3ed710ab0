"""How much of prompts a step reads, so that running texts keep their pace."""

from collections.abc import Iterable
from dataclasses import dataclass

SLOWER = 1.0
"""Times what it takes without prompts, by which a step may become longer for those beside running texts: their longest
gap is a step, and what comes between two. With more prompts than running texts it is as many times more."""
ALONE_MS = 1000.0
"""A step in which no text waits for its next token: so long a newcomer waits at most, and one that was cancelled is
still read."""
LEAST_TOKENS = 8
"""Fewer would take no less time. Always a multiple: libraries prepare themselves for each number of rows."""
FEWER_COST_MORE = 1.5
"""Times that a token takes where a few are read, compared with many: a first guess."""
MEMORY = 0.5
"""Weight of earlier steps that read: the further a prompt has been read, the longer its next part takes."""
DECODE_MEMORY = 0.8
"""The same of steps that did not."""


class PromptPace:
    """Learns what steps cost: those that read beside running texts, those that only read, and those that do not read.

    Args:
        warm_up: prompts, their tokens and milliseconds of what was run at warm-up; of the first guess.
    """

    def __init__(self, warm_up: Iterable[tuple[int, int, float]] = ()) -> None:
        self._decode_ms = 0.0
        self._alone, self._beside = TokenCost(), TokenCost()
        shapes = sorted(warm_up, key=lambda shape: shape[1])
        if shapes and (more := shapes[-1][1] - shapes[0][1]) > 0:
            self._alone = TokenCost(1.0, max(0.0, shapes[-1][2] - shapes[0][2]) / more)

    @property
    def token_ms(self) -> float:
        """Of one token of a prompt; 0 if unknown."""
        return self._alone.each_ms or self._beside.each_ms

    def reading_ms(self, prompt_tokens: int, milliseconds: float) -> float:
        """The part of a step that was spent on prompts."""
        return max(0.0, milliseconds - self._decode_ms) if prompt_tokens else 0.0

    def learn(self, decoding: int, prompt_tokens: int, milliseconds: float) -> None:
        """Add a step."""
        if prompt_tokens:
            cost = self._beside if decoding else self._alone
            cost.learn(prompt_tokens, self.reading_ms(prompt_tokens, milliseconds))
        elif self._decode_ms:
            self._decode_ms += (1 - DECODE_MEMORY) * (milliseconds - self._decode_ms)
        else:
            self._decode_ms = milliseconds

    def tokens(self, decoding: int, unread: int = 1, most_ms: float = ALONE_MS) -> int | None:
        """How many the next step may read of so many prompts beside so many running texts; ``None`` if unknown.

        ``most_ms``: the whole step takes no longer, if that is possible.
        """
        each_ms = (decoding and self._beside.each_ms) or self.token_ms * (FEWER_COST_MORE if decoding else 1)
        if not each_ms or (decoding and not self._decode_ms):
            return None
        reading_ms = most_ms - self._decode_ms
        if decoding:
            reading_ms = min(reading_ms, SLOWER * self._decode_ms * max(1.0, unread / decoding))
        return max(LEAST_TOKENS, int(reading_ms / each_ms) // LEAST_TOKENS * LEAST_TOKENS)


@dataclass
class TokenCost:
    """Of one token of a prompt; steps with many count more than those with few."""

    tokens: float = 0.0
    milliseconds: float = 0.0

    @property
    def each_ms(self) -> float:
        return self.milliseconds / self.tokens if self.tokens else 0.0

    def learn(self, tokens: int, milliseconds: float) -> None:
        self.tokens = MEMORY * self.tokens + tokens
        self.milliseconds = MEMORY * self.milliseconds + milliseconds
