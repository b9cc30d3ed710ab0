"""What has been written about recordings, window by window."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from inference.backends.transformers.speech import Place, SpeechJob

INCOMPLETE = "\ufffd"
"""At the end of a text: a character whose other bytes may follow."""


@dataclass(eq=False, slots=True)
class Written:
    """What has been written about a part of a recording: its windows before the frame ``seek``."""

    frames: int
    language: int | None = None
    """Its token, once that is known."""
    longest: int | None = None
    """``max_length`` of the next window, if it is not the first: ``generate`` raises it from one to the next."""
    seek: int = 0
    tokens: list[int] = field(default_factory=list)
    times: list[torch.Tensor] = field(default_factory=list)
    """Of the tokens, where times of words are asked for."""
    cut: bool = False
    """The newest window has reached the limit of tokens."""

    @property
    def ended(self) -> bool:
        return self.seek >= self.frames


@dataclass(frozen=True, slots=True)
class Window:
    """What ``generate`` writes about one; ``times`` are those of the tokens that are kept."""

    tokens: list[int]
    times: torch.Tensor | None
    prompt: int
    """Tokens before these."""
    ended: bool
    """By itself, before it reached the limit of tokens."""


@dataclass(eq=False, slots=True, kw_only=True)
class Recording(SpeechJob):
    """``tokens`` are the positions that are encoded for it."""

    written: list[Written]
    turn: int
    """The lowest is next."""
    told: int = 0
    """Tokens that were passed on."""
    text: str = ""
    """That of those tokens."""

    @property
    def ended(self) -> bool:
        return all(each.ended for each in self.written)

    @property
    def all_tokens(self) -> list[int]:
        return [token for each in self.written for token in each.tokens]

    def outputs(self) -> list[dict[str, Any]]:
        """As the pipeline's ``forward`` returns them."""
        outputs = []
        for part, written in zip(self.parts, self.written, strict=True):
            output = {**part.extras, "tokens": torch.tensor([written.tokens], dtype=torch.long)}
            if written.times:
                output["token_timestamps"] = [torch.cat(written.times)]
            outputs.append(output)
        return outputs


@dataclass(frozen=True, slots=True)
class Next(Place):
    """The next window of a part."""

    item: Recording

    @property
    def written(self) -> Written:
        return self.item.written[self.number]


def followed(tokens: Sequence[int], first_time: int, frames: int, per_time: int) -> tuple[int, int]:
    """How many of a window's tokens are kept, and after how many frames the next one begins.

    A phrase that the window cuts is heard again, by the rule of ``WhisperGenerationMixin._retrieve_segment``: two times
    side by side are the end of a phrase and the beginning of the next.
    """
    are_times = [token >= first_time for token in tokens]
    begins = [n for n in range(1, len(tokens)) if are_times[n - 1] and are_times[n]]
    if not begins or are_times[-2:] == [False, True]:
        return len(tokens), frames
    return begins[-1] + 1, (tokens[begins[-1] - 1] - first_time) * per_time


def shared(text: str, pieces: Sequence[str]) -> list[str]:
    """A text divided among its tokens by what each of them says by itself; the last has what is left."""
    shares, start = [], 0
    for piece in pieces:
        found = -1 if INCOMPLETE in piece else text.find(piece, start)
        end = start if found < 0 else found + len(piece)
        shares.append(text[start:end])
        start = end
    return [*shares[:-1], shares[-1] + text[start:]] if shares else []
