"""A generated text ends before its stop sequence, where the pipeline's has it at its end."""

from collections.abc import Sequence
from typing import NamedTuple

from inference.messaging.messages import Token


class Placed(NamedTuple):
    token: Token
    start: int
    """Where its text begins in the generated one."""


def cut(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop sequence."""
    return text[: _first(text, stop)]


class UntilStop:
    """Takes a text token by token, and holds back what may be the beginning of a stop sequence."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = stop
        self._held = ""
        self._start = 0
        """Of what is held."""
        self._tokens: list[Placed] = []
        self._ended = False

    def push(self, token: Token, *, last: bool = False) -> tuple[str, list[Placed]]:
        """The text that is certain now, and the tokens that begin in it, without special ones."""
        if self._ended:
            return "", []
        if not token.special:
            self._tokens.append(Placed(token, self._start + len(self._held)))
        held = self._held + token.text
        end = _first(held, self._stop)
        self._ended = end < len(held)
        if not (self._ended or last):
            end -= _overlap(held, self._stop)
        self._held = held[end:]
        self._start += end
        free = [placed for placed in self._tokens if placed.start < self._start + (not placed.token.text)]
        self._tokens = self._tokens[len(free) :]
        return held[:end], free


def _first(text: str, stop: Sequence[str]) -> int:
    """Where the first stop sequence begins; the end of the text if there is none."""
    return min((at for each in stop if (at := text.find(each)) >= 0), default=len(text))


def _overlap(text: str, stop: Sequence[str]) -> int:
    """Length of the longest end of the text with which a stop sequence begins."""
    most = min(len(text), max(map(len, stop), default=1) - 1)
    return next((size for size in range(most, 0, -1) if any(s.startswith(text[-size:]) for s in stop)), 0)
