"""A backend without torch whose models talk; what they say depends on what they are asked."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from inference.backends.base import Generated, Turn, at_once
from inference.conf import Conf
from inference.errors import InferenceError, Overloaded
from inference.testing import FakePipeline
from inference.testing.backend import FakeJob, FakeSteppedPipeline

CHAT, PROMPT = "chat", "prompt"
"""Names of models: one with a chat template, one without."""
CODE = "Like this:\n\n```python\nprint(1)\n```\n\nThat is all."
BUSY = "The model is too busy."
LOGPROBS = (0.0, -0.4, -1.0, -2.0, -5.0)
"""Of the tokens of a text, in turn."""


class Talker(FakeSteppedPipeline):
    def step(
        self, prepared: Sequence[FakeJob], prompt_tokens: int | None = None
    ) -> list[Generated | InferenceError | None]:
        return [_likely(made) for made in super().step(prepared, prompt_tokens)]


def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> Talker:
    numbers, refused = count(1), set[str]()

    def answer(given: Any, parameters: dict[str, Any]) -> str:
        asked = given if isinstance(given, str) else given[-1]["content"]
        if asked.startswith("busy") and asked not in refused:
            refused.add(asked)
            raise Overloaded(BUSY)
        return said(given, asked, next(numbers))

    fake = FakePipeline(conf.task, answer, chat=conf.model == CHAT)
    report("ready: a fake pipeline that talks")
    return Talker(fake)


def said(given: Any, asked: str, number: int) -> str:
    """By the first word of what was asked; ``number`` is that of the answer."""
    word, _, rest = asked.partition(" ")
    match word:
        case "count":
            return " ".join(map(str, range(1, int(rest) + 1)))
        case "code":
            return CODE
    if isinstance(given, str):
        return f" and so on {number}."
    if given[-1]["role"] == "assistant":
        return " more"
    system = given[0]["content"] if given[0]["role"] == "system" else "none"
    return f"Answer {number} to {asked}, system {system}, after {len(given)} messages."


def _likely(made: Generated | InferenceError | None) -> Generated | InferenceError | None:
    if not isinstance(made, Generated):
        return made
    return replace(made, logprob=LOGPROBS[made.index % len(LOGPROBS)])
