"""From texts, and pairs of texts, to rows of tokens: whole, cut to the model's length, or in windows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from inference.backends.transformers.rows import Row
from inference.errors import Invalid
from inference.messaging.messages import Description

TextOrPair = str | tuple[str, str]
"""What one row is made of; the two texts of a pair are read together."""
MOST_WINDOWS = 256
"""Of one input, so that a book is not one batch."""


class RowMaker:
    """One tokenizer, for use by one thread. Limits are in tokens; that nothing exceeds them is checked by its user."""

    def __init__(self, tokenizer: Any, description: Description) -> None:
        self._tokenizer = tokenizer
        self._longest_chars = description.longest_input_chars

    def rows(self, sequences: Sequence[TextOrPair]) -> list[Row]:
        """One for each, in order: one call of the tokenizer for all texts, and one for all pairs."""
        texts = [each for each in sequences if isinstance(each, str)]
        pairs = [each for each in sequences if not isinstance(each, str)]
        of_texts = iter(_rows(self._tokenizer(texts, verbose=False)) if texts else ())
        of_pairs = iter(_rows(self._tokenizer(*map(list, zip(*pairs, strict=True)), verbose=False)) if pairs else ())
        return [next(of_texts if isinstance(each, str) else of_pairs) for each in sequences]

    def clipped(self, sequence: TextOrPair, parameters: Mapping[str, Any]) -> TextOrPair:
        """Without characters that are beyond the model's length in any case, so that they are not tokenised."""
        if not isinstance(sequence, str):
            first, second = (self._clipped(text, parameters) for text in sequence)
            return first, second
        return self._clipped(sequence, parameters)

    def cut(self, sequence: TextOrPair, limit: int, parameters: Mapping[str, Any]) -> Row:
        """As many tokens as the limit allows. Of a pair, the longer text is cut first."""
        pair = (sequence,) if isinstance(sequence, str) else sequence
        with self._truncates(self._side(parameters)):
            encoded = self._tokenizer(*pair, truncation=True, max_length=limit, verbose=False)
        return Row(dict(encoded))

    def windows(self, text: str, limit: int) -> list[Row]:
        """All of a text, in rows of at most so many tokens.

        Raises:
            Invalid: there are too many, or the tokenizer cannot.
        """
        if not self._tokenizer.is_fast:
            raise Invalid("This model's tokenizer cannot cut a text into windows; send shorter texts.")
        with self._truncates("right"):
            rows = _rows(
                self._tokenizer(
                    text,
                    truncation=True,
                    max_length=limit,
                    return_overflowing_tokens=True,
                    verbose=False,
                )
            )
        check_windows(len(rows))
        return rows

    def _clipped(self, text: str, parameters: Mapping[str, Any]) -> str:
        return text[-self._longest_chars :] if self._side(parameters) == "left" else text[: self._longest_chars]

    def _side(self, parameters: Mapping[str, Any]) -> str:
        side: str = parameters.get("truncation_direction", self._tokenizer.truncation_side)
        return side

    @contextmanager
    def _truncates(self, side: str) -> Iterator[None]:
        before = self._tokenizer.truncation_side
        self._tokenizer.truncation_side = side
        try:
            yield
        finally:
            self._tokenizer.truncation_side = before


def check_windows(number: int) -> None:
    """Raises ``Invalid``."""
    if number > MOST_WINDOWS:
        raise Invalid(f"The input makes {number} windows of the model's length; it may make {MOST_WINDOWS}.")


def windows_of(tokens: int, room: int, overlap: int) -> int:
    """How many windows with room for so many tokens a text has.

    To be checked before it is cut: where nearly all of a window overlaps, each token would make one.
    """
    return 1 + max(0, -(-(tokens - room) // (room - overlap)))


def _rows(encoded: Mapping[str, Any]) -> list[Row]:
    """Of several sequences, or of one in windows."""
    names = [name for name in encoded if name != "overflow_to_sample_mapping"]
    return [Row({name: encoded[name][index] for name in names}) for index in range(len(encoded["input_ids"]))]
