"""A small model that guesses what a larger one with the same vocabulary will say, for one and two texts.

The larger one checks a guess in one step and takes what it would have drawn itself
(https://arxiv.org/abs/2211.17192, where drawing is by seed and position: texts are the same with and without).
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count
from time import perf_counter

from inference.backends.base import LoadFailed
from inference.backends.transformers.generation.generator import Generator
from inference.backends.transformers.generation.plan import are_guessed
from inference.backends.transformers.generation.self_check import continuous
from inference.backends.transformers.generation.text import Text
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.loading import load_pipeline
from inference.backends.transformers.task import Report
from inference.backends.transformers.warm_up import prepared, typical
from inference.conf import Conf

logger = logging.getLogger(__name__)

WORTH_IT = 0.5
"""Of the larger model's time for a step, the most that one of the small one may take: with more, guesses that are right
half of the time gain nothing."""
ROUNDS = 5


class DraftModel:
    """Its texts are copies of those of the larger model, and follow them."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._copies: dict[Text, Text] = {}
        self._works = True

    def guesses(self, texts: Sequence[Text]) -> dict[Text, list[int]]:
        """What may follow in these, which nothing else suggests. After a failure, which is logged, nothing ever."""
        try:
            return {text: guess for text in texts if (guess := self._guess(text))}
        except Exception as error:
            logger.warning("The draft model has failed, and guesses nothing from now on: %r", error)
            self._works = False
            self.retain(())
            return {}

    def tokens(self, texts: Sequence[Text]) -> int:
        """The most that it guesses for these in their next step."""
        return sum(map(self._length, texts)) if are_guessed(texts) else 0

    def retain(self, texts: Collection[Text]) -> None:
        """Free what it has of all other texts."""
        self._copies = {text: copy for text, copy in self._copies.items() if text in texts}
        self._generator.retain([*self._copies.values()])

    def close(self) -> None:
        self._copies.clear()
        self._generator.close()

    def _length(self, text: Text) -> int:
        if text.drafts is None or not self._works or text.capacity > self._generator.description.longest_input:
            return 0
        return text.drafts.of_model.of(len(text.ids), text.most_guessed)

    def _guess(self, text: Text) -> list[int]:
        length = self._length(text)
        if not (length and text.drafts):
            return []
        copy = self._up_to_date(text)
        guess: list[int] = []
        while len(guess) < length and (token := self._generator.extend(copy)) is not None:
            guess.append(token)
        text.drafts.source = text.drafts.of_model
        return guess

    def _up_to_date(self, text: Text) -> Text:
        """The copy of a text without what was guessed wrong; what is cached of that is written over."""
        copy = self._copies.get(text)
        if copy is None:
            copy = self._copies[text] = replace(text, cached=0, block=None, decoding=False)
            copy.capacity = self._generator.cache.capacity(text.capacity)
            copy.prompt_tokens = 0
        same = next(
            n for n in count(copy.prompt_tokens) if copy.ids[n : n + 1] != text.ids[n : n + 1] or n >= len(text.ids)
        )
        copy.ids, copy.prompt_tokens = [*text.ids], len(text.ids)
        copy.cached = min(copy.cached, same, len(text.ids) - 1)
        copy.decoding = copy.cached == len(text.ids) - 1 and copy.block is not None
        return copy


def load_draft_model(generator: Generator, loaded: Loaded, conf: Conf, report: Report) -> DraftModel | None:
    """``None`` if it would not make texts faster here.

    Raises:
        LoadFailed: it cannot guess for this model.
    """
    report(f"loading the draft model {conf.draft_model}")
    own = replace(
        conf,
        model=conf.draft_model,
        revision=conf.draft_revision,
        task=loaded.task.name,
        draft_model="",
        prefix_cache_mb=0,
    )
    small = load_pipeline(own, report, loaded.turn)
    if small.pipe.tokenizer.get_vocab() != loaded.pipe.tokenizer.get_vocab():
        raise LoadFailed(
            f"The draft model {small.name} has another vocabulary than {loaded.name}; choose one of its family."
        )
    if (drafting := continuous(small, own, report)) is None:
        raise LoadFailed(
            f"The draft model {small.name} cannot be run token by token (the log says why); choose another."
        )
    part = loaded.turn(lambda: _step_s(drafting)) / loaded.turn(lambda: _step_s(generator))
    if part > WORTH_IT:
        report(f"the draft model is not used: a step of it takes {part:.0%} of one of {loaded.name}")
        drafting.close()
        return None
    report(f"a step of the draft model takes {part:.0%} of one of {loaded.name}")
    return DraftModel(drafting)


def _step_s(generator: Generator) -> float:
    """Of one text; the fastest of several."""
    [text] = prepared(generator, [typical(generator, varied=False)])
    while not text.decoding:
        generator.step([text])
    times = []
    for _ in range(ROUNDS):
        began = perf_counter()
        generator.logits([text])
        times.append(perf_counter() - began)
    generator.retain(())
    return min(times)
