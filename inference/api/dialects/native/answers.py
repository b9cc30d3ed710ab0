"""Answers over HTTP: bodies, the fields of an error, headers."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from inference.api.dialects.base import Headers
from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.generation_result import GenerationResult
from inference.serving.result import Outcome, Times
from inference.tasks.media import Media

Shape = Callable[[bytes], bytes]


def as_it_is(output: bytes) -> bytes:
    return output


def write_outcomes(outcomes: Sequence[Outcome], *, many: bool, shape: Shape = as_it_is) -> bytes:
    """What the pipeline returns; for a list of inputs, a list in the same order, perhaps with errors in it.

    Args:
        shape: gives the answer to one input, which is JSON, another form.
    """
    written = [_write_outcome(outcome, shape) for outcome in outcomes]
    return b"[" + b",".join(written) + b"]" if many else written[0]


def _write_outcome(outcome: Outcome, shape: Shape) -> bytes:
    if outcome.error is not None:
        return write_error(outcome.error)
    output = outcome.output
    if isinstance(output, bytes):
        return shape(output)
    return write_media(output) if isinstance(output, Media) else msgspec.json.encode(output.tolist())


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
    details: dict[str, Any] = {
        "finish_reason": generation.finish_reason,
        "generated_tokens": len(generation.tokens),
        "seed": generation.seed,
        "prefill": [],
        "tokens": [token_fields(token) for token in generation.tokens],
    }
    if any(token.top for token in generation.tokens):
        details["top_tokens"] = [top_fields(token) for token in generation.tokens]
    answer = msgspec.json.decode(output)
    text = answer[0] if isinstance(answer, list) else answer
    text["details"] = details
    return msgspec.json.encode(answer)


def token_fields(token: Token) -> dict[str, Any]:
    return {"id": token.token, "text": token.text, "logprob": token.logprob, "special": token.special}


def top_fields(token: Token) -> list[dict[str, Any]]:
    """The likeliest tokens in its place."""
    return [{"id": each, "text": text, "logprob": logprob} for each, text, logprob in token.top]
