"""Text out of tokens, as they come."""

from collections.abc import Callable, Sequence

INCOMPLETE = "\ufffd"
"""What a decoder returns for the first bytes of a character."""
CLEANED = 5
"""Characters that a later token may still change, where the tokenizer cleans up spaces (`` n't`` becomes ``n't``)."""


class Detokenizer:
    """What each token adds to the text; all pieces and the rest, joined, are what ``decode`` returns for all tokens.

    Only the last few tokens are decoded each time, from the last one that added text on, since a decoder may treat the
    first token of a text differently (the space before it).
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], *, cleans: bool = False) -> None:
        self._decode = decode
        self._held_back = CLEANED if cleans else 0
        self._window: list[int] = []
        self._known = 0
        """Tokens of the window whose text is known."""
        self._known_text = ""
        self._pending = ""
        self.text = ""
        """All pieces so far."""

    def push(self, token: int) -> str:
        """Nothing while a character is incomplete."""
        self._window.append(token)
        text = self._decode(self._window)
        if len(text) <= len(self._known_text) or text.endswith(INCOMPLETE):
            return ""
        self._pending += text[len(self._known_text) :]
        self._window = self._window[self._known :]
        self._known = len(self._window)
        self._known_text = self._decode(self._window)
        ready = len(self._pending) - self._held_back
        piece, self._pending = self._pending[: max(0, ready)], self._pending[max(0, ready) :]
        self.text += piece
        return piece

    def rest(self, whole: str) -> str:
        """What is missing when the text has ended. ``whole`` is what the tokenizer decodes all tokens to."""
        if whole.startswith(self.text):
            return whole[len(self.text) :]
        return self._pending + self._decode(self._window)[len(self._known_text) :]

    def tail(self, characters: int) -> str:
        return (self.text[-characters:] if characters > 0 else "") + self._pending
