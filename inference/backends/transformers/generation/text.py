"""A text that is being generated: what was asked for, and how far it has come."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.backends.transformers.generation.detokenizer import Detokenizer
from inference.backends.transformers.generation.drafts import Drafts
from inference.backends.transformers.generation.sampling import Sampling
from inference.messaging.messages import FinishReason, Job

if TYPE_CHECKING:
    from inference.backends.transformers.generation.kv_cache import Block


@dataclass(frozen=True, kw_only=True)
class StopConditions:
    """When a text is finished."""

    new_tokens: int
    end_tokens: frozenset[int]
    stop: tuple[str, ...] = ()


@dataclass(eq=False, kw_only=True)
class GrowingText:
    """``ids`` are the decoder's tokens: those that it begins with, its prompt, and those generated."""

    job: Job
    ids: list[int]
    prompt_tokens: int
    stop_conditions: StopConditions
    sampling: Sampling
    pieces: Detokenizer
    truncated: bool = False
    sequences: int = 1

    @property
    def generated(self) -> list[int]:
        return self.ids[self.prompt_tokens :]

    @property
    def index(self) -> int:
        """Of the next token."""
        return len(self.ids) - self.prompt_tokens

    def resume(self, tokens: Iterable[int]) -> None:
        """Continue after ``tokens``, which an earlier worker generated; one that ends the text is generated again."""
        for token in list(tokens)[: self.stop_conditions.new_tokens - 1]:
            if token in self.stop_conditions.end_tokens:
                return
            self.ids.append(token)
            self.pieces.push(token)

    def take(self, token: int) -> tuple[str, FinishReason | None]:
        """Append a token: the text that it adds, and why it is the last one, if it is."""
        self.ids.append(token)
        piece = self.pieces.push(token)
        if token in self.stop_conditions.end_tokens:
            return piece, "eos_token"
        if any(stop in self.pieces.tail(len(piece) + len(stop) - 1) for stop in self.stop_conditions.stop):
            return piece, "stop_sequence"
        return piece, "length" if self.index >= self.stop_conditions.new_tokens else None


@dataclass(eq=False, kw_only=True)
class Text(GrowingText):
    """Of a model that only decodes; keys and values of the first ``cached`` of its ``ids`` are stored."""

    prompt: Any
    """What the pipeline's post-processing needs: the text, or the chat."""
    capacity: int
    """Tokens of its row in the cache: room for the longest that it can become."""
    scope: str = ""
    """Only texts with the same one share what they begin with."""
    cached: int = 0
    reused: int = 0
    """Of its tokens, those that were not read because an earlier text began with them."""
    block: "Block | None" = None
    row: int = 0
    decoding: bool = False
    """The prompt is in the cache: each step brings a token."""
    drafts: Drafts | None = None
    """If its next tokens are to be guessed."""
    postprocess: dict[str, Any] = field(default_factory=dict)

    @property
    def placed(self) -> "Block":
        if self.block is None:
            raise RuntimeError(f"request {self.job.request_id} has no place in the cache")
        return self.block

    @property
    def kv(self) -> Any:
        """Its row: ``[layer, keys or values, head, token]``."""
        return self.placed.kv[:, :, self.row]

    @property
    def cached_tokens(self) -> int:
        """Of the prompt, for its client."""
        return min(self.reused, self.prompt_tokens)

    @property
    def most_guessed(self) -> int:
        """Tokens that may be guessed, within its last one and its row."""
        return min(self.stop_conditions.new_tokens - self.index, self.capacity - self.cached) - 1

    def guess(self) -> list[int]:
        """What may follow, by what it says already."""
        return [] if self.drafts is None else self.drafts.next(self.ids, self.most_guessed)

    @property
    def tokens(self) -> int:
        return self.prompt_tokens

    @property
    def longest(self) -> int:
        return self.prompt_tokens

    @property
    def input_tokens(self) -> int:
        return self.prompt_tokens

    def take(self, token: int) -> tuple[str, FinishReason | None]:
        self.cached = len(self.ids)
        return super().take(token)
