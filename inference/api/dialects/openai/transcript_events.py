"""Streams of transcripts: what is added, as server-sent events."""

from typing import Any

import msgspec

from inference.api.dialects.base import Headers
from inference.api.dialects.openai.errors import error_fields
from inference.api.dialects.openai.transcripts import decode
from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.result import RequestResult


class TranscriptWriter:
    """A token without a text is no event."""

    def __init__(self, context: RequestContext) -> None:
        self.headers: Headers = [
            (b"content-type", b"text/event-stream"),
            (b"x-request-id", context.id.encode()),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),  # a proxy such as nginx would collect events
        ]
        self._begun = False

    def token(self, token: Token, generation: GenerationResult) -> bytes:
        added = token.text if self._begun else token.text.lstrip()
        if not added:
            return b""
        self._begun = True
        return _event({"type": "transcript.text.delta", "delta": added})

    def finished(self, generation: GenerationResult) -> bytes:
        return self.token(generation.tokens[-1], generation) if generation.tokens else b""

    def end(self, result: RequestResult) -> bytes:
        return _event({"type": "transcript.text.done", "text": decode(result).text})

    def error(self, error: InferenceError) -> bytes:
        return _event(error_fields(error))


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"
