"""The frames of ``/ws/``: one JSON object each, many requests at once under the client's own ids."""

from math import isnan
from typing import Any

import msgspec

from inference.api.dialects.base import Cancel, Rejected, Say, Start
from inference.api.dialects.native.answers import top_fields, write_outcomes
from inference.api.dialects.native.requests import read_query
from inference.api.dialects.reading import decode_object, read_deadline
from inference.errors import Cancelled, InferenceError, Invalid
from inference.messaging.messages import Started, Token
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult, Served, Times
from inference.tasks.values import json_type

LONGEST_ID = 64
KINDS = ("infer", "cancel", "ping")


class NativeSocket:
    """It keeps nothing between frames."""

    def receive(self, frame: str, deployment: Deployment, pipeline: str | None) -> Start | Cancel | Say | Rejected:
        try:
            fields = read_frame(frame)
            if fields["type"] == "ping":
                return Say([write("pong", read_id(fields) if "id" in fields else None)])
            client_id = read_id(fields)
        except InferenceError as error:
            return Rejected(None, error)
        if fields["type"] == "cancel":
            return Cancel(client_id)
        return Start(client_id, lambda: read_infer(fields, deployment.conf.max_deadline_s), fields.get("traceparent"))

    def writer(self, client_id: str, context: RequestContext) -> "FrameWriter":
        return FrameWriter(client_id, context)

    def error(self, client_id: str | None, context: RequestContext, error: InferenceError) -> str:
        return write_error(client_id, error, context.id)


class FrameWriter:
    """The frames of one request."""

    def __init__(self, client_id: str, context: RequestContext) -> None:
        self._id = client_id
        self._context = context

    def accepted(self, served: Served) -> list[str]:
        context = self._context
        frame = write(
            "accepted",
            self._id,
            request_id=context.id,
            pipeline=served.pipeline,
            model_version=served.version,
            traceparent=context.traceparent or None,
        )
        return [frame]

    def started(self, event: Started) -> list[str]:
        return [write("started", self._id, batch_size=event.batch_size)]

    def token(self, token: Token, generation: GenerationResult) -> list[str]:
        return [self._token(token)]

    def _token(self, token: Token) -> str:
        return write(
            "token",
            self._id,
            index=token.index,
            token=token.token,
            text=token.text,
            logprob=None if isnan(token.logprob) else token.logprob,
            top_tokens=top_fields(token) or None,
        )

    def end(self, result: RequestResult) -> list[str]:
        """The result; of a stream, the last token comes before it."""
        generation = result.generation
        last = [self._token(generation.tokens[-1])] if generation is not None and result.query.stream else []
        output = write_outcomes(result.outcomes, many=result.query.many)
        return [*last, self._result(output, result.times, generation)]

    def error(self, error: InferenceError) -> str:
        return write_error(self._id, error, self._context.id)

    def cancelled(self, query: Query | None, generation: GenerationResult | None) -> str:
        """A stream that has begun ends in a result with what was generated so far."""
        if query is None or generation is None:
            return self.error(Cancelled("Cancelled, as asked."))
        full_text = query.flag("return_full_text") is not False
        output = msgspec.json.encode(generation.output(full_text=full_text))
        return self._result(output, Times(total_ms=self._context.elapsed_ms()), generation)

    def _result(self, output: bytes, times: Times, generation: GenerationResult | None) -> str:
        return write(
            "result",
            self._id,
            request_id=self._context.id,
            output=msgspec.Raw(output),
            **({} if generation is None else _generation(generation)),
            queue_ms=round(times.queue_ms, 3),
            inference_ms=round(times.inference_ms, 3),
            total_ms=round(times.total_ms, 3),
            batch_size=times.batch_size,
        )


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
    pipeline = frame.get("pipeline")
    if not (pipeline is None or isinstance(pipeline, str)):
        raise Invalid(f"'pipeline' is {json_type(pipeline)}; it must be the name of a pipeline.")
    also = ("type", "id", "pipeline", "timeout_s", "traceparent")
    return read_query(frame, also=also, deadline_s=deadline_s, pipeline=pipeline)


def write(kind: str, client_id: str | None, **fields: Any) -> str:
    """A frame; fields that are ``None`` are left out."""
    frame = {"type": kind, "id": client_id, **fields}
    return msgspec.json.encode({name: value for name, value in frame.items() if value is not None}).decode()


def _generation(generation: GenerationResult) -> dict[str, Any]:
    reason = generation.finish_reason
    return {
        "finish_reason": "stop" if reason in ("eos_token", "stop_sequence") else reason,
        "prompt_tokens": generation.prompt_tokens,
        "generated_tokens": len(generation.tokens),
        "seed": generation.seed,
        "first_token_ms": round(generation.first_token_ms, 3),
        "token_ms": round(generation.token_ms, 3),
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
