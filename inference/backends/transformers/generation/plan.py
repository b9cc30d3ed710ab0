"""What goes into the model in one step."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from inference.backends.transformers.generation.attention import NextTokens, PromptPart, Span
from inference.backends.transformers.generation.kv_cache import Block, KVCache
from inference.backends.transformers.generation.text import Text

PROMPT_TOKENS = 128
"""Of prompts that are read in one step while other texts wait for their next token."""
ALONE_TOKENS = 512
"""The same while no text waits."""


@dataclass(eq=False)
class Plan:
    """Tokens of several texts, one after the other, with their positions; each span belongs to one text or block."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    chosen: dict[Text, int] = field(default_factory=dict)
    """Texts that get a token, with the index in ``ids`` of the one before it."""

    def add_next(self, block: Block, texts: list[Text]) -> None:
        """The last token of each of these, which share a block."""
        texts = sorted(texts, key=lambda text: text.row)
        tokens = slice(len(self.ids), len(self.ids) + len(texts))
        positions = [text.cached for text in texts]
        self.spans.append(NextTokens(tokens, block, [text.row for text in texts], positions))
        self.chosen |= {text: tokens.start + n for n, text in enumerate(texts)}
        self.ids += [text.ids[-1] for text in texts]
        self.positions += positions

    def add_prompt(self, text: Text, most: int) -> int:
        """The next ``most`` tokens of a text's prompt, or what is left of it; returns how many."""
        part = text.ids[text.cached : text.cached + most]
        self.spans.append(PromptPart(slice(len(self.ids), len(self.ids) + len(part)), text, text.cached))
        self.ids += part
        self.positions += range(text.cached, text.cached + len(part))
        if text.cached + len(part) == len(text.ids):
            self.chosen[text] = len(self.ids) - 1
        return len(part)


def planned_tokens(texts: Sequence[Text], prompt_tokens: int | None = None) -> int:
    """How many tokens are in the ``plan`` of these."""
    decoding = sum(text.decoding for text in texts)
    unread = sum(len(text.ids) - text.cached for text in texts if not text.decoding)
    return decoding + min(unread, _most(decoding, prompt_tokens))


def _most(decoding: int, prompt_tokens: int | None) -> int:
    usual = PROMPT_TOKENS if decoding else ALONE_TOKENS
    return usual if prompt_tokens is None else min(usual, prompt_tokens)


def plan(texts: Sequence[Text], cache: KVCache, prompt_tokens: int | None = None) -> Plan:
    """A token for each text whose prompt has been read, and a bounded number of tokens of the oldest prompts."""
    step = Plan()
    decoding = [text for text in texts if text.decoding]
    by_block: dict[Block, list[Text]] = {}
    for text in decoding:
        by_block.setdefault(text.placed, []).append(text)
    for block, mates in by_block.items():
        step.add_next(block, mates)
    left = _most(len(decoding), prompt_tokens)
    for text in texts:
        if text.decoding or not left:
            continue
        if text.block is None:
            cache.begin(text)
        left -= step.add_prompt(text, left)
    return step
