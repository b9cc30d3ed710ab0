"""Streams: chunks as server-sent events, those of all choices as they come."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar

from inference.api.dialects.openai.answers import common_fields, finish_reason, usage
from inference.api.dialects.openai.errors import error_fields
from inference.api.dialects.openai.generating import Asked
from inference.api.dialects.openai.until_stop import Placed, UntilStop
from inference.api.dialects.server_sent_events import stream_headers, write_event
from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.result import RequestResult

END = b"data: [DONE]\n\n"


class ChunkWriter(ABC):
    """A choice has a chunk for each token, and one for the reason why it ended."""

    kind: ClassVar[str]
    prefix: ClassVar[str]
    """Of its id."""

    def __init__(self, context: RequestContext, asked: Asked) -> None:
        self.headers = stream_headers(context)
        self.asked = asked
        self._context = context
        self._texts: defaultdict[int, UntilStop] = defaultdict(lambda: UntilStop(asked.stop))
        """By index; one that is not there has not begun."""

    def token(self, token: Token, generation: GenerationResult, *, last: bool = False) -> bytes:
        first = generation.index not in self._texts
        text, tokens = self._texts[generation.index].push(token, last=last)
        if not (first or text or (tokens and self.asked.top_logprobs is not None)):
            return b""
        choice = self.choice(generation, text, tokens, first=first)
        if choice["logprobs"] is None and choice.get("delta") == {}:  # the text may be a call, and is held back
            return b""
        return self.chunk([choice | {"finish_reason": None}])

    def finished(self, generation: GenerationResult) -> bytes:
        last = self.token(generation.tokens[-1], generation, last=True)
        end = self.choice(generation, "", [], first=False)
        return last + self.chunk([end | {"finish_reason": finish_reason(generation.finish_reason)}])

    def end(self, result: RequestResult) -> bytes:
        return (self.chunk([], usage(result)) if self.asked.include_usage else b"") + END

    def error(self, error: InferenceError) -> bytes:
        return write_event(error_fields(error))

    @abstractmethod
    def choice(
        self, generation: GenerationResult, text: str, tokens: Sequence[Placed], *, first: bool
    ) -> dict[str, Any]:
        """A piece of one, perhaps without any text."""

    def chunk(self, choices: list[dict[str, Any]], used: dict[str, Any] | None = None) -> bytes:
        fields = common_fields(self._context, self.asked, self.kind, self.prefix) | {"choices": choices}
        return write_event(fields | {"usage": used} if self.asked.include_usage else fields)
