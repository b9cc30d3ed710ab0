"""Guesses of a text's next tokens, from what it says already; a step of the model checks several at once.

Code, tables, quotations and summaries repeat what came before, and a step with a few more tokens of one text hardly
takes longer: its time is that of reading the weights. Where the last tokens occurred earlier, those that followed them
there are the guess (prompt lookup decoding: https://github.com/apoorvumang/prompt-lookup-decoding). Tokens are drawn as
they would be one by one, and a guess counts as far as it is what was drawn; so a text is the same with and without.
"""

from collections.abc import Sequence

LONGEST, SHORTEST = 3, 2
"""Tokens that must occur again; the longer ones are looked up first."""
MOST = 7
"""Tokens of a guess."""
PAUSE = 32
"""Tokens after which a text whose guesses were wrong is guessed again."""


class GuessLength:
    """How many tokens the next guess of one text has: more while guesses are right."""

    def __init__(self) -> None:
        self._most = 2
        self._resumes_at = 0

    def of(self, length: int, most: int) -> int:
        """At most ``most``, for a text that has ``length`` tokens; 0 while it is not guessed."""
        return max(0, min(self._most, most)) if length >= self._resumes_at else 0

    def note(self, length: int, guessed: int, right: int) -> None:
        """So many of the guessed tokens were right, for a text that has ``length`` tokens now."""
        if right == guessed:
            self._most = min(MOST, 2 * self._most)
        elif right:
            self._most = max(2, right + 1)
        else:
            self._most //= 2
        if not self._most:
            self._most, self._resumes_at = 2, length + PAUSE


class Drafts:
    """Of one text."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}
        """By tokens, where the ones after their last occurrence begin."""
        self._indexed = 0
        self._looked_up, self.of_model = GuessLength(), GuessLength()
        """Of guesses from the text itself, and from a draft model."""
        self.source = self._looked_up
        """That of the guess which is checked now."""

    def next(self, ids: Sequence[int], most: int) -> list[int]:
        """At most so many tokens that may follow; none where nothing suggests any."""
        self._index(ids)
        self.source = self._looked_up
        if not (length := self._looked_up.of(len(ids), most)):
            return []
        for size in range(LONGEST, SHORTEST - 1, -1):
            place = self._after.get(tuple(ids[-size:]))
            if place is not None:
                return list(ids[place : place + length])
        return []

    def _index(self, ids: Sequence[int]) -> None:
        """What ends before the last token: what ends with it is what is looked for."""
        for end in range(max(self._indexed, SHORTEST), len(ids)):
            for size in range(SHORTEST, min(LONGEST, end) + 1):
                self._after[tuple(ids[end - size : end])] = end
        self._indexed = max(self._indexed, len(ids))
