"""Generated text as server-sent events.

The format is that of text-generation-inference, which ``huggingface_hub.InferenceClient.text_generation`` reads:
https://huggingface.co/docs/text-generation-inference/messages_api and ``TextGenerationStreamOutput`` there.
"""

from typing import Any, cast

import msgspec

from inference.api.dialects.native.answers import error_fields, token_fields, top_fields
from inference.api.dialects.server_sent_events import stream_headers, write_event
from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.result import RequestResult


class EventWriter:
    """One event per token. The headers have no times, which are not known when they are sent."""

    def __init__(self, context: RequestContext) -> None:
        self.headers = stream_headers(context)

    def token(self, token: Token, generation: GenerationResult) -> bytes:
        return write_token(token)

    def finished(self, generation: GenerationResult) -> bytes:
        """Its last token is in the last event."""
        return b""

    def end(self, result: RequestResult) -> bytes:
        """The last token, the whole text (after its prompt only if the client asked for that), and why it ended."""
        generation, full_text = result.generation, result.query.flag("return_full_text")
        if generation is None:
            raise RuntimeError("a stream without a generated text")
        text = _whole(result, generation) if full_text else generation.text
        details = {
            "finish_reason": generation.finish_reason,
            "generated_tokens": len(generation.tokens),
            "seed": generation.seed,
            "input_length": generation.prompt_tokens,
        }
        return write_token(generation.tokens[-1], generated_text=text, details=details)

    def error(self, error: InferenceError) -> bytes:
        return write_event(error_fields(error))


def _whole(result: RequestResult, generation: GenerationResult) -> Any:
    """The text after its prompt; of token ids, the worker says what they are."""
    if isinstance(generation.given, dict):
        return msgspec.json.decode(cast("bytes", result.outputs[0]))[0]["generated_text"]
    return generation.output(full_text=True)[0]["generated_text"]


def write_token(token: Token, **end: Any) -> bytes:
    """An event; that of the last token has the ``end`` as well."""
    fields = {"index": token.index + 1, "token": token_fields(token), "generated_text": None, "details": None, **end}
    return write_event(fields | {"top_tokens": top_fields(token)} if token.top else fields)
