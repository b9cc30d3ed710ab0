"""The consumer of endpoints, without a server."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from inference.api.endpoint import EndpointConsumer
from inference.serving.query import Query


class Reading:
    """An endpoint that notes which thread reads."""

    path, pipeline_in_body = "/x", True

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def read(self, head: Any, body: bytes, deployment: Any) -> Query:
        self.threads.append(threading.current_thread())
        return Query(inputs=[body], many=False)


class ReadingAside(Reading):
    aside_from = 4


@pytest.mark.parametrize(
    ("endpoint", "body", "here"),
    [(Reading(), b"long", True), (ReadingAside(), b"lon", True), (ReadingAside(), b"long", False)],
)
async def test_a_large_body_may_be_read_on_another_thread(endpoint: Any, body: bytes, here: bool):
    consumer: Any = EndpointConsumer(endpoint=endpoint, allowed=("POST",))
    consumer.scope, consumer.deployment = {"type": "http"}, None
    consumer.head = lambda path, pipeline: None
    query = await consumer._read(SimpleNamespace(checked=lambda: body), None)
    assert query.inputs == [body]
    assert (endpoint.threads == [threading.current_thread()]) == here
