"""What goes into the model in one step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from inference.backends.transformers.generation.kv_cache import Block, KVCache
from inference.backends.transformers.generation.reading import reading
from inference.backends.transformers.generation.spans import Guess, NextTokens, PromptPart, Span
from inference.backends.transformers.generation.text import Text

PROMPT_TOKENS = 128
"""Of prompts that are read in one step while other texts wait for their next token, unless the caller says."""
ALONE_TOKENS = 512
"""The same while no text waits; and in any step."""
FEW = 2
"""Texts up to which tokens are guessed: with more, a step's time is that of its tokens."""


@dataclass(eq=False)
class Plan:
    """Tokens of several texts, one after the other, with their positions; each span belongs to one text or block."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    chosen: dict[Text, int] = field(default_factory=dict)
    """Texts that get a token, with the index in ``ids`` of the one before it."""
    guessed: dict[Text, list[int]] = field(default_factory=dict)
    """Of those, tokens that may follow; they are the next ones in ``ids``."""

    @property
    def guesses(self) -> list[tuple[Text, list[int]]]:
        """For each text that gets tokens: those that may follow the first, in the order of ``places``."""
        return [(text, self.guessed.get(text, [])) for text in self.chosen]

    @property
    def places(self) -> list[int]:
        """In ``ids``, of the tokens whose next ones are wanted."""
        return [self.chosen[text] + n for text, guess in self.guesses for n in range(len(guess) + 1)]

    def add_next(self, block: Block, texts: list[Text]) -> None:
        """The last token of each of these, which share a block."""
        texts = sorted(texts, key=lambda text: text.row)
        tokens = slice(len(self.ids), len(self.ids) + len(texts))
        positions = [text.cached for text in texts]
        self.spans.append(NextTokens(tokens, block, [text.row for text in texts], positions))
        self.chosen |= {text: tokens.start + n for n, text in enumerate(texts)}
        self.ids += [text.ids[-1] for text in texts]
        self.positions += positions

    def add_guess(self, text: Text, guess: list[int]) -> None:
        """The last token of a text, and what may follow it."""
        ids = [text.ids[-1], *guess]
        self.spans.append(Guess(slice(len(self.ids), len(self.ids) + len(ids)), text, text.cached))
        self.chosen[text], self.guessed[text] = len(self.ids), guess
        self.ids += ids
        self.positions += range(text.cached, text.cached + len(ids))

    def add_prompt(self, text: Text, tokens: int) -> None:
        """So many more tokens of a text's prompt."""
        part = text.ids[text.cached : text.cached + tokens]
        self.spans.append(PromptPart(slice(len(self.ids), len(self.ids) + len(part)), text, text.cached))
        self.ids += part
        self.positions += range(text.cached, text.cached + len(part))
        if text.cached + len(part) == len(text.ids):
            self.chosen[text] = len(self.ids) - 1


def planned_tokens(texts: Sequence[Text], cache: KVCache, prompt_tokens: int | None = None) -> int:
    """How many tokens are in the ``plan`` of these, with what their own tokens suggest."""
    decoding = sum(text.decoding for text in texts)
    parts = reading(texts, cache.prefixes, _most(decoding, prompt_tokens))
    guessed = sum(map(len, guesses(texts).values()))
    return decoding + guessed + sum(tokens for _, tokens in parts)


def _most(decoding: int, prompt_tokens: int | None) -> int:
    if prompt_tokens is not None:
        return min(prompt_tokens, ALONE_TOKENS)
    return PROMPT_TOKENS if decoding else ALONE_TOKENS


def are_guessed(texts: Sequence[Text]) -> bool:
    """Whether texts that run together may get several tokens in a step: few, and no prompt is read."""
    return len(texts) <= FEW and all(text.decoding for text in texts)


def guesses(texts: Sequence[Text]) -> dict[Text, list[int]]:
    """What may follow in the texts of a step. Pure, but for what drafts remember of texts."""
    found = {text: text.guess() for text in texts} if are_guessed(texts) else {}
    return {text: guess for text, guess in found.items() if guess}


def plan(
    texts: Sequence[Text],
    cache: KVCache,
    prompt_tokens: int | None = None,
    guessed: Mapping[Text, list[int]] = MappingProxyType({}),
) -> Plan:
    """A token for each text whose prompt has been read, and a bounded number of tokens of other prompts.

    Args:
        guessed: what may follow in texts whose prompts have been read; they get several tokens as far as it is right.
    """
    step = Plan()
    decoding = [text for text in texts if text.decoding]
    by_block: dict[Block, list[Text]] = {}
    for text, guess in guessed.items():
        step.add_guess(text, guess)
    for text in decoding:
        if text not in guessed:
            by_block.setdefault(text.placed, []).append(text)
    for block, mates in by_block.items():
        step.add_next(block, mates)
    for text, tokens in reading(texts, cache.prefixes, _most(len(decoding), prompt_tokens)):
        if text.block is None:
            cache.begin(text)
        step.add_prompt(text, tokens)
    return step
