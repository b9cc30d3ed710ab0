"""Answers over HTTP: bodies, the fields of an error, headers."""

from collections.abc import Sequence
from typing import Any

import msgspec

from inference.api.dialects.base import Headers
from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.generation_result import GenerationResult
from inference.serving.result import Times
from inference.tasks.media import Media


def write_outputs(outputs: Sequence[bytes | Media], *, many: bool) -> bytes:
    """What the pipeline returns; for a list of inputs, a list in the same order."""
    written = [write_media(output) if isinstance(output, Media) else output for output in outputs]
    return b"[" + b",".join(written) + b"]" if many else written[0]


def write_media(media: Media) -> bytes:
    """In JSON: the bytes in base64, under the names of https://huggingface.co/docs/inference-providers for audio."""
    return msgspec.json.encode({"content-type": media.type, "blob": media.data})


def error_fields(error: InferenceError) -> dict[str, Any]:
    return {"error": error.message, "error_type": error.code}


def write_error(error: InferenceError) -> bytes:
    return msgspec.json.encode(error_fields(error))


def write_headers(
    request_id: str, times: Times, error: InferenceError | None = None, *, content_type: str = "application/json"
) -> Headers:
    """Of every answer that is not streamed; times are in milliseconds."""
    headers = [
        (b"content-type", content_type.encode()),
        (b"x-request-id", request_id.encode()),
        (b"x-queue-time", b"%.3f" % times.queue_ms),
        (b"x-inference-time", b"%.3f" % times.inference_ms),
        (b"x-total-time", b"%.3f" % times.total_ms),
        (b"x-batch-size", b"%d" % times.batch_size),
    ]
    if error is not None and error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    return headers


def write_details(generation: GenerationResult, output: bytes) -> bytes:
    """The pipeline's answer to one input, with its tokens and why it ended."""
    details = {
        "finish_reason": generation.finish_reason,
        "generated_tokens": len(generation.tokens),
        "seed": generation.seed,
        "prefill": [],
        "tokens": [token_fields(token) for token in generation.tokens],
    }
    answer = msgspec.json.decode(output)
    text = answer[0] if isinstance(answer, list) else answer
    text["details"] = details
    return msgspec.json.encode(answer)


def token_fields(token: Token) -> dict[str, Any]:
    return {"id": token.token, "text": token.text, "logprob": token.logprob, "special": token.special}
