"""Which prompts are read in a step, and how much of each."""

from collections.abc import Sequence

from inference.backends.transformers.generation.prefix_cache import CHUNK, PrefixCache
from inference.backends.transformers.generation.text import Text

OLDEST_SHARE = 2
"""Half of what a step may read is the oldest prompt's; the rest goes to those that have least left."""


def reading(texts: Sequence[Text], prefixes: PrefixCache, most: int) -> list[tuple[Text, int]]:
    """Texts whose prompts are read next, each with a number of tokens, ``most`` together. Pure.

    Those with least left go first, since so the mean wait is shortest, and whoever wrote a line does not wait for a
    book. The oldest one's part sees to it that long prompts are read, too, however many short ones come.

    A text that has not begun does not read what another one reads in this step: it waits until that is kept. It never
    waits for one that does not read, so nothing has to be undone where that one is cancelled or fails.
    """
    unread = [text for text in texts if not text.decoding]
    if not unread:
        return []
    begun = {text: _begun(text, prefixes) for text in unread}
    left = {text: len(text.ids) - begun[text] for text in unread}
    oldest = unread[0]
    tokens = {oldest: min(left[oldest], max(1, most // OLDEST_SHARE))}
    most -= tokens[oldest]
    for text in sorted(unread, key=left.__getitem__):
        if not most:
            break
        if text is not oldest and any(_reads_for(other, text, begun) for other in tokens if prefixes.keeps):
            continue
        more = min(left[text] - tokens.get(text, 0), most)
        tokens[text] = tokens.get(text, 0) + more
        most -= more
    return [(text, number) for text, number in tokens.items() if number]


def _begun(text: Text, prefixes: PrefixCache) -> int:
    """Tokens that it has, or would have if it began now."""
    return text.cached if text.block is not None else prefixes.known(text.scope, text.ids)


def _reads_for(reader: Text, text: Text, begun: dict[Text, int]) -> bool:
    """Whether the next chunk that ``text`` needs is one that ``reader`` is about to read, too."""
    if text.block is not None or reader.scope != text.scope:
        return False
    end = begun[text] + CHUNK
    return begun[reader] < end < len(text.ids) and reader.ids[:end] == text.ids[:end]
