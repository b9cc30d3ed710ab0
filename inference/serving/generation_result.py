"""A generated text as its client gets it: the tokens so far, their times, and why the text ended."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from inference.messaging.messages import Generation, Token


@dataclass(eq=False, slots=True, kw_only=True)
class GenerationResult:
    """Grows while tokens come."""

    given: Any
    """The input: a text, or a list of chat messages."""
    index: int = 0
    """Number of the text in its request."""
    began: float
    """When the request arrived, in seconds of ``time.monotonic``."""
    text_field: str = "generated_text"
    """Of the answer: the one that has the text."""
    continues: bool = True
    """The text continues its input, and may come after it in the answer."""
    in_list: bool = True
    """The answer is a list of one object with the text, not the object itself."""
    seed: int | None = None
    """With which the same request gives the same text."""
    tokens: list[Token] = field(default_factory=list)
    finish_reason: Literal["length", "eos_token", "stop_sequence", "cancelled"] = "cancelled"
    """As if the request were cancelled now, until ``finish``."""
    prompt_tokens: int | None = None
    """Known at the end."""
    first_at: float = 0.0
    last_at: float = 0.0

    def take(self, token: Token) -> None:
        self.last_at = time.monotonic()
        if not self.tokens:
            self.first_at = self.last_at
        self.tokens.append(token)

    def finish(self, generation: Generation) -> None:
        """The text is complete."""
        if generation.last is not None:
            self.take(generation.last)
        self.finish_reason, self.prompt_tokens = generation.finish_reason, generation.prompt_tokens

    @property
    def text(self) -> str:
        """Without the prompt."""
        return "".join(token.text for token in self.tokens)

    @property
    def first_token_ms(self) -> float:
        """From the request's arrival; 0 while there is no token."""
        return (self.first_at - self.began) * 1000 if self.tokens else 0.0

    @property
    def token_ms(self) -> float:
        """Mean from one token to the next."""
        return (self.last_at - self.first_at) * 1000 / max(1, len(self.tokens) - 1)

    def output(self, *, full_text: bool) -> Any:
        """What the transformers pipeline would return if the text ended here; ``full_text``: after its prompt."""
        full_text = full_text and self.continues
        [answer] = pipeline_output(self.given, self.text, full_text=full_text, field=self.text_field)
        return [answer] if self.in_list else answer


def pipeline_output(given: Any, text: str, *, full_text: bool, field: str = "generated_text") -> list[dict[str, Any]]:
    """What the transformers pipeline returns for an input (a text or a chat) about which it generated ``text``.

    Of token ids, only a worker knows what they say: then it is the text alone.
    """
    if not full_text or isinstance(given, dict):
        return [{field: text}]
    if isinstance(given, str):
        return [{field: given + text}]
    *before, last = given
    if last["role"] == "assistant":  # the beginning of the answer
        return [{field: [*before, last | {"content": last["content"] + text}]}]
    return [{field: [*given, {"role": "assistant", "content": text}]}]
