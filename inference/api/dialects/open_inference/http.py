"""``POST …/infer`` and, for texts, ``…/generate``; both with a stream."""

from typing import Any

from inference.api.dialects.base import Endpoint, Head, Reply, Writer
from inference.api.dialects.doc import Doc
from inference.api.dialects.open_inference import docs
from inference.api.dialects.open_inference.adapting import Asked
from inference.api.dialects.open_inference.elements import BYTES
from inference.api.dialects.open_inference.generate import read_generate, text_of
from inference.api.dialects.open_inference.replies import served_fields, write_json, write_result
from inference.api.dialects.open_inference.requests import read_infer
from inference.api.dialects.open_inference.resources import MODEL, VERSION
from inference.api.dialects.open_inference.tensors import OUTPUT
from inference.api.dialects.reading import DeadlineInHeader
from inference.api.dialects.server_sent_events import stream_headers, write_event
from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks.base import Task

ASIDE_FROM = 1024
"""Bytes of a body that is read on another thread: compressed, it may have become a thousand times as many."""


class InferEndpoint(DeadlineInHeader):
    method = "POST"
    pipeline_in_body = False
    aside_from = ASIDE_FROM

    def __init__(self, path: str, *, stream: bool = False) -> None:
        self.path = path
        self._stream = stream

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        return read_infer(head, body, deployment, self._deadline_s(head, deployment), stream=self._stream)

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        return write_result(context, result)

    def writer(self, context: RequestContext, query: Query) -> Writer:
        return EventWriter(context, query.state)

    def doc(self, task: Task | None) -> Doc | None:
        return docs.in_version(docs.infer(task, stream=self._stream), self.path)

    def _deadline_s(self, head: Head, deployment: Deployment) -> float | None:
        return self.deadline_s(head.header(self.deadline_header), deployment.conf.max_deadline_s)


class GenerateEndpoint(InferEndpoint):
    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        return read_generate(head, body, deployment, self._deadline_s(head, deployment), stream=self._stream)

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        return write_json(context, served_fields(result.query.state, context.id) | {"text_output": text_of(result)})

    def writer(self, context: RequestContext, query: Query) -> Writer:
        return GenerateWriter(context, query.state)

    def doc(self, task: Task | None) -> Doc | None:
        return docs.in_version(docs.generate(task, stream=self._stream), self.path)


class EventWriter:
    """Server-sent events: an answer to ``…/infer_stream`` for each token, as MLServer has it."""

    def __init__(self, context: RequestContext, asked: Asked) -> None:
        self.headers = stream_headers(context, b"text/event-stream; charset=utf-8")
        self._id = context.id
        self._asked = asked

    def token(self, token: Token, generation: GenerationResult) -> bytes:
        return write_event(served_fields(self._asked, self._id) | self._text(token.text))

    def finished(self, generation: GenerationResult) -> bytes:
        return self.token(generation.tokens[-1], generation)

    def end(self, result: RequestResult) -> bytes:
        return b""

    def error(self, error: InferenceError) -> bytes:
        return write_event({"error": error.message})

    def _text(self, text: str) -> dict[str, Any]:
        return {"outputs": [{"name": OUTPUT, "datatype": BYTES, "shape": [1, 1], "data": [text]}]}


class GenerateWriter(EventWriter):
    """An answer to ``…/generate_stream`` for each token."""

    def _text(self, text: str) -> dict[str, Any]:
        return {"text_output": text}


ENDPOINTS: tuple[Endpoint, ...] = tuple(
    endpoint
    for model in (MODEL, VERSION)
    for endpoint in (
        InferEndpoint(f"{model}/infer"),
        InferEndpoint(f"{model}/infer_stream", stream=True),
        GenerateEndpoint(f"{model}/generate"),
        GenerateEndpoint(f"{model}/generate_stream", stream=True),
    )
)
