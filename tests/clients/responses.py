"""``python -m tests.clients responses.py``: responses by OpenAI's client, also over the WebSocket.

The pipeline's model has a chat template. PYTHON has openai[realtime] 3.57.0, which comes with websockets.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from openai.lib.responses_websocket import ResponsesWebSocketLimits, ResponsesWebSocketSession
from pydantic import BaseModel

PIPELINE, URL = "chat", sys.argv[-1]
BASES = (f"{URL}/v1", f"{URL}/pipelines/{PIPELINE}/v1")
GREEDY: dict[str, Any] = {"model": PIPELINE, "temperature": 0, "max_output_tokens": 8}
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
LOGPROBS: Any = ["message.output_text.logprobs"]
LIMITS = ResponsesWebSocketLimits(
    max_lanes=9, max_events_per_lane=999, max_events=9999, max_bytes_per_lane=10**7, max_bytes=10**8
)


def strict(base: str) -> OpenAI:
    """It checks the types of all fields."""
    return OpenAI(base_url=base, api_key="any", max_retries=0, _strict_response_validation=True)


def refused(error: type[APIStatusError], param: str | None, call: Callable[[], Any]) -> None:
    try:
        call()
    except error as raised:
        found, request_id = raised.param, raised.request_id
    assert (found, len(request_id or "")) == (param, 32)


def whole(base: str) -> None:
    ask = partial(strict(base).responses.create, **GREEDY)
    told = ask(input="once upon a time", instructions="be short", metadata={"a": "b"}, user="u", store=False)
    assert (told.status, told.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert told.usage.output_tokens == 8
    assert told.usage.total_tokens == told.usage.input_tokens + 8
    assert (told.metadata, told.user, told.instructions) == ({"a": "b"}, "u", "be short")
    again = ask(input=[{"role": "developer", "content": "be short"}, {"role": "user", "content": "once upon a time"}])
    assert again.output_text == told.output_text != ""
    parts: Any = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "once"}]}]
    first = ask(input=parts, include=LOGPROBS, top_logprobs=2)
    content: Any = first.output[0].content[0]
    assert len(content.logprobs) == 8
    assert len(content.logprobs[0].top_logprobs) == 2
    assert ask(input=[*parts, *first.output, {"role": "user", "content": "and then?"}]).output_text


def streamed(base: str) -> None:
    client = strict(base)
    expected = client.responses.create(input="once upon a time", **GREEDY).output_text
    events = list(client.responses.create(input="once upon a time", stream=True, **GREEDY))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert joined(events) == expected
    assert events[-1].type == "response.incomplete"
    with client.responses.stream(input="once upon a time", include=LOGPROBS, **GREEDY) as stream:
        deltas = joined(stream)
    assert deltas == expected


def structured(base: str) -> None:
    class Boat(BaseModel):
        kind: Literal["raft", "ferry"]
        large: bool

    how: Any = {"model": PIPELINE, "input": "a boat", "text_format": Boat}
    told = strict(base).responses.parse(**how)
    assert isinstance(told.output_parsed, Boat)
    with strict(base).responses.stream(**how) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Boat)


def tools(base: str) -> None:
    """A random model calls something only if it must."""
    parameters = {"type": "object", "properties": {"kind": {"enum": ["raft"]}}, "required": ["kind"]}
    tool: Any = {"type": "function", "name": "find", "parameters": parameters | {"additionalProperties": False}}
    how: Any = {"model": PIPELINE, "temperature": 0, "tools": [tool], "tool_choice": "required"}
    call: Any = strict(base).responses.create(input="a boat", **how).output[0]
    assert (call.type, call.name, call.arguments) == ("function_call", "find", '{"kind":"raft"}')
    with strict(base).responses.stream(input="a boat", **how) as stream:
        assert [each.arguments for each in stream.get_final_response().output] == [call.arguments]
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "found"}
    assert strict(base).responses.create(input=[call, output], **GREEDY).output_text


def joined(events: Iterable[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def refusals(base: str) -> None:
    ask = partial(OpenAI(base_url=base, api_key="any").responses.create, **GREEDY)
    if base == BASES[0]:
        refused(NotFoundError, "model", lambda: ask(input="a", model="gpt-4o"))
    refused(BadRequestError, "input", lambda: ask(input=[]))
    refused(BadRequestError, "max_output_tokens", lambda: ask(input="a", max_output_tokens=10**6, stream=True))
    refused(BadRequestError, "tools", lambda: ask(input="a", tools=[{"type": "web_search"}]))
    refused(BadRequestError, "previous_response_id", lambda: ask(input="a", previous_response_id="resp_1"))
    refused(BadRequestError, "background", lambda: ask(input="a", background=True))


@contextmanager
def turns(base: str) -> Any:
    """A connection, and what sends a frame on it and reads the events of its answer."""
    with strict(base).responses.connect() as connection:

        def turn(**fields: Any) -> list[Any]:
            connection.response.create(**GREEDY | fields)
            events = [connection.recv()]
            while events[-1].type not in ENDS:
                events.append(connection.recv())
            return events

        yield connection, turn


def socket(base: str) -> None:
    expected = strict(base).responses.create(input="once upon a time", **GREEDY).output_text
    with turns(base) as (connection, turn):
        events = turn(input="once upon a time")
        assert joined(events) == expected
        first = events[-1].response
        assert (first.status, first.output_text) == ("incomplete", expected)
        second = turn(input="and then?", previous_response_id=first.id)[-1].response
        chat: Any = [
            {"role": "user", "content": "once upon a time"},
            *first.output,
            {"role": "user", "content": "and then?"},
        ]
        assert second.output_text == strict(base).responses.create(input=chat, **GREEDY).output_text
        assert second.previous_response_id == first.id

        prepared = turn(input="once upon a time", generate=False, max_output_tokens=None)[-1].response
        assert (prepared.status, prepared.output) == ("completed", [])
        third = turn(input=[], previous_response_id=prepared.id)[-1].response
        assert third.output_text == expected

        (error,) = turn(input="a", previous_response_id="resp_1", stream_id="lane-1")
        assert (error.status, error.stream_id) == (400, "lane-1")
        assert (error.error.code, error.error.param) == ("previous_response_not_found", "previous_response_id")
        (error,) = turn(input="a", tools=[{"type": "web_search"}])
        assert (error.error.code, error.error.param) == ("unsupported_parameter", "tools")
        connection.response.steer(input="b", previous_response_id=first.id)
        assert connection.recv().type == "response.steer.failed"


def lanes(base: str) -> None:
    expected = strict(base).responses.create(input="once upon a time", **GREEDY).output_text
    command: Any = {"type": "response.create", "input": "once upon a time", **GREEDY}
    connection = strict(base).responses.connect().enter()
    with ResponsesWebSocketSession(connection, limits=LIMITS) as session:
        named = [session.lane(f"lane{number}") for number in range(4)]
        for lane in named:
            lane.send(command)
        assert {lane.get_final_response(timeout=60).output_text for lane in named} == {expected}


async def at_once() -> None:
    client = AsyncOpenAI(base_url=BASES[0], api_key="any", _strict_response_validation=True)
    stream, told = await asyncio.gather(
        client.responses.create(input="once", stream=True, **GREEDY), client.responses.create(input="once", **GREEDY)
    )
    assert joined([event async for event in stream]) == told.output_text
    async with client.responses.connect() as connection:
        for number in range(3):
            await connection.response.create(input="once", stream_id=str(number), **GREEDY)
        ended: dict[str, str] = {}
        while len(ended) < 3:
            event: Any = await connection.recv()
            if event.type in ENDS:
                ended[event.stream_id] = event.response.output_text
    assert ended == dict.fromkeys("012", told.output_text)


for base in BASES:
    for check in (whole, streamed, structured, tools, refusals, socket, lanes):
        check(base)
asyncio.run(at_once())
