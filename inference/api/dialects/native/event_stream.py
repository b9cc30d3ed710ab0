"""Generated text as server-sent events, and its ``details``.

The format is that of text-generation-inference, which ``huggingface_hub.InferenceClient.text_generation`` reads:
https://huggingface.co/docs/text-generation-inference/messages_api and ``TextGenerationStreamOutput`` there.
"""

from typing import Any

import msgspec

from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.generation_result import GenerationResult


def write_headers(request_id: str) -> list[tuple[bytes, bytes]]:
    """Times are not known yet, so they are not among them."""
    return [
        (b"content-type", b"text/event-stream"),
        (b"x-request-id", request_id.encode()),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),  # a proxy such as nginx would collect tokens
    ]


def write_token(token: Token, **end: Any) -> bytes:
    """An event; the last one has the ``end`` too."""
    fields = {"index": token.index + 1, "token": _token(token), "generated_text": None, "details": None, **end}
    return _event(fields)


def write_end(generation_result: GenerationResult) -> bytes:
    """The last token, the whole text (the prompt before it only if the client asked for that), and how it ended."""
    text = generation_result.output()[0]["generated_text"] if generation_result.full_text else generation_result.text
    details = {
        "finish_reason": generation_result.finish_reason,
        "generated_tokens": len(generation_result.tokens),
        "seed": generation_result.seed,
        "input_length": generation_result.prompt_tokens,
    }
    return write_token(generation_result.tokens[-1], generated_text=text, details=details)


def write_error(error: InferenceError) -> bytes:
    """Too late for a status."""
    return _event({"error": error.message, "error_type": error.code})


def write_details(generation_result: GenerationResult, output: bytes) -> bytes:
    """The pipeline's answer to one input, and how it came about."""
    details = {
        "finish_reason": generation_result.finish_reason,
        "generated_tokens": len(generation_result.tokens),
        "seed": generation_result.seed,
        "prefill": [],
        "tokens": [_token(token) for token in generation_result.tokens],
    }
    answer = msgspec.json.decode(output)[0]
    return msgspec.json.encode([answer | {"details": details}])


def _token(token: Token) -> dict[str, Any]:
    return {"id": token.token, "text": token.text, "logprob": token.logprob, "special": token.special}


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"
