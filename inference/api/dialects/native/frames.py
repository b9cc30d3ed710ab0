"""The dialect of ``/ws/``: one JSON object per frame, many requests at once under the client's own ids."""

from collections.abc import Sequence
from typing import Any

import msgspec

from inference.api.dialects.native.fields import decode_object, read_deadline, read_query
from inference.api.dialects.native.http import write_outputs
from inference.errors import InferenceError, Invalid
from inference.messaging.messages import Token
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query, Times
from inference.serving.validation import json_type

LONGEST_ID = 64
KINDS = ("infer", "cancel", "ping")


def read_frame(text: str) -> dict[str, Any]:
    """One frame with a known ``type``.

    Raises:
        Malformed: not an object.
        Invalid: no or an unknown ``type``.
    """
    frame = decode_object(text)
    if frame.get("type") not in KINDS:
        raise Invalid(f"'type' is {_shown(frame.get('type'))}; it must be one of {', '.join(KINDS)}.")
    return frame


def read_id(frame: dict[str, Any]) -> str:
    """The client's id.

    Raises:
        Invalid: missing, not a text, empty or too long.
    """
    client_id = frame.get("id")
    if not isinstance(client_id, str) or not 0 < len(client_id) <= LONGEST_ID:
        raise Invalid(f"'id' is {_shown(client_id)}; it must be a text of 1 to {LONGEST_ID} characters.")
    return client_id


def read_infer(frame: dict[str, Any], longest_s: float) -> Query:
    """An ``infer`` frame. Raises as ``read_query`` and ``read_deadline`` do."""
    deadline_s = read_deadline(frame.get("timeout_s"), "timeout_s", longest_s)
    return read_query(frame, also=("type", "id", "timeout_s", "traceparent"), deadline_s=deadline_s)


def write(kind: str, client_id: str | None, **fields: Any) -> str:
    """A frame; fields that are ``None`` are left out."""
    frame = {"type": kind, "id": client_id, **fields}
    return msgspec.json.encode({name: value for name, value in frame.items() if value is not None}).decode()


def write_token(client_id: str, token: Token) -> str:
    return write("token", client_id, index=token.index, token=token.token, text=token.text)


def write_result(  # noqa: PLR0913
    client_id: str,
    request_id: str,
    outputs: Sequence[bytes],
    times: Times,
    generation_result: GenerationResult | None = None,
    *,
    many: bool,
) -> str:
    return write(
        "result",
        client_id,
        request_id=request_id,
        output=msgspec.Raw(write_outputs(outputs, many=many)),
        **({} if generation_result is None else _generation(generation_result)),
        queue_ms=round(times.queue_ms, 3),
        inference_ms=round(times.inference_ms, 3),
        total_ms=round(times.total_ms, 3),
        batch_size=times.batch_size,
    )


def _generation(generation_result: GenerationResult) -> dict[str, Any]:
    reason = generation_result.finish_reason
    return {
        "finish_reason": "stop" if reason in ("eos_token", "stop_sequence") else reason,
        "prompt_tokens": generation_result.prompt_tokens,
        "generated_tokens": len(generation_result.tokens),
        "seed": generation_result.seed,
        "first_token_ms": round(generation_result.first_token_ms, 3),
        "token_ms": round(generation_result.token_ms, 3),
    }


def write_error(client_id: str | None, error: InferenceError, request_id: str | None = None) -> str:
    return write(
        "error",
        client_id,
        request_id=request_id,
        code=error.code,
        message=error.message,
        retry_after=error.retry_after_s,
    )


def _shown(value: Any) -> str:
    return repr(value[:60]) if isinstance(value, str) else json_type(value)
