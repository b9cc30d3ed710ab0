"""Streams of transcripts: what is added, as server-sent events."""

from inference.api.dialects.openai.errors import error_fields
from inference.api.dialects.openai.transcripts import decode
from inference.api.dialects.server_sent_events import stream_headers, write_event
from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.result import RequestResult


class TranscriptWriter:
    """A token without a text is no event."""

    def __init__(self, context: RequestContext) -> None:
        self.headers = stream_headers(context)
        self._begun = False

    def token(self, token: Token, generation: GenerationResult) -> bytes:
        added = token.text if self._begun else token.text.lstrip()
        if not added:
            return b""
        self._begun = True
        return write_event({"type": "transcript.text.delta", "delta": added})

    def finished(self, generation: GenerationResult) -> bytes:
        return self.token(generation.tokens[-1], generation) if generation.tokens else b""

    def end(self, result: RequestResult) -> bytes:
        return write_event({"type": "transcript.text.done", "text": decode(result).text})

    def error(self, error: InferenceError) -> bytes:
        return write_event(error_fields(error))
