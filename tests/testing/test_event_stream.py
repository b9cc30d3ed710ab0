"""Generated text as server-sent events, read as a browser gets them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse

from inference import event_stream_response, stream
from inference.errors import InferenceError, InferenceFailed
from inference.process import web
from inference.testing import FakePipeline

generates = pytest.mark.parametrize("fake_pipeline", [{"task": "text-generation", "answer": " a b"}], indirect=True)


async def read(response: StreamingHttpResponse) -> list[tuple[str, Any]]:
    """Kind and data of each event."""
    content: AsyncIterator[bytes] = aiter(response)
    text = b"".join([part async for part in content]).decode()
    events = []
    for event in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in event.split("\n"))
        events.append((fields.get("event", "message"), json.loads(fields["data"])))
    return events


@generates
async def test_each_piece_is_an_event(fake_pipeline: FakePipeline):
    response = await event_stream_response(stream("once"))
    assert (response.status_code, response["content-type"]) == (200, "text/event-stream")
    assert await read(response) == [("message", {"text": " a"}), ("message", {"text": " b"}), ("end", {})]


@generates
async def test_an_error_before_the_first_piece_is_raised(fake_pipeline: FakePipeline):
    with pytest.raises(InferenceError) as raised:
        await event_stream_response(stream(["one", "two"]))
    assert raised.value.status == 422


@generates
async def test_an_error_after_it_is_the_last_event(fake_pipeline: FakePipeline):
    fake_pipeline.answer = [" a\n", InferenceFailed("It broke.")]
    response = await event_stream_response(stream("once"))
    assert await read(response) == [
        ("message", {"text": " a\n"}),
        ("error", {"error": "It broke.", "error_type": "inference"}),
    ]


@generates
async def test_a_reader_that_leaves_ends_the_generation(fake_pipeline: FakePipeline):
    fake_pipeline.answer, fake_pipeline.delay_s = [" a"] * 10_000, 0.01
    events: Any = aiter(await event_stream_response(stream("once", {"max_new_tokens": 1000})))
    assert await anext(events)
    await events.aclose()
    process = web.current()
    assert process is not None
    while process.service.pending_inputs:  # noqa: ASYNC110 - it lives on another loop
        await asyncio.sleep(0.01)


@generates
def test_a_response_that_is_read_elsewhere_says_so_instead_of_ending_early(fake_pipeline: FakePipeline):
    """As WSGI does, and Django's sync test client."""
    response = async_to_sync(event_stream_response)(stream("once"))
    with pytest.warns(Warning, match="asynchronous"), pytest.raises(RuntimeError, match="so serve it by ASGI"):
        b"".join(response)
