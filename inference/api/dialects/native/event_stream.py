"""Generated text as server-sent events, and its ``details``.

The format is that of text-generation-inference, which ``huggingface_hub.InferenceClient.text_generation`` reads:
https://huggingface.co/docs/text-generation-inference/messages_api and ``TextGenerationStreamOutput`` there.
"""

from typing import Any

import msgspec

from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.generation_result import Transcript


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


def write_end(transcript: Transcript) -> bytes:
    """The last token, the whole text (the prompt before it only if the client asked for that), and how it ended."""
    text = transcript.output()[0]["generated_text"] if transcript.full_text else transcript.text
    details = {
        "finish_reason": transcript.finish_reason,
        "generated_tokens": len(transcript.tokens),
        "seed": transcript.seed,
        "input_length": transcript.prompt_tokens,
    }
    return write_token(transcript.tokens[-1], generated_text=text, details=details)


def write_error(error: InferenceError) -> bytes:
    """Too late for a status."""
    return _event({"error": error.message, "error_type": error.code})


def write_details(transcript: Transcript, output: bytes) -> bytes:
    """The pipeline's answer to one input, and how it came about."""
    details = {
        "finish_reason": transcript.finish_reason,
        "generated_tokens": len(transcript.tokens),
        "seed": transcript.seed,
        "prefill": [],
        "tokens": [_token(token) for token in transcript.tokens],
    }
    answer = msgspec.json.decode(output)[0]
    return msgspec.json.encode([answer | {"details": details}])


def _token(token: Token) -> dict[str, Any]:
    return {"id": token.token, "text": token.text, "logprob": token.logprob, "special": token.special}


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"
