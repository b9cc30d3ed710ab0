"""Responses of a real model, as answers, as server-sent events and as frames; the texts are those of a chat."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets import ClientConnection, connect

from tests.conftest import CLIENT_S, client
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TEXT = "once upon a time"
CHAT = [{"role": "system", "content": "be short"}, {"role": "user", "content": TEXT}]
GREEDY = {"temperature": 0, "max_output_tokens": 12}
ENDS = ("response.completed", "response.incomplete", "error")


@pytest.fixture
def http(generating: Web) -> Iterator[httpx.Client]:
    with client(generating) as opened:
        yield opened


def expected(http: httpx.Client, messages: Any) -> str:
    """What a chat says."""
    body = {"messages": messages, "temperature": 0, "max_tokens": 12}
    text: str = http.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]
    return text


def text_of(response: dict[str, Any]) -> str:
    (item,) = response["output"]
    text: str = item["content"][0]["text"]
    return text


def test_a_response_has_the_text_of_a_chat(http: httpx.Client):
    reply = http.post("/v1/responses", json=GREEDY | {"input": TEXT, "instructions": "be short"})
    assert reply.status_code == 200, reply.text
    response = reply.json()
    assert text_of(response) == expected(http, CHAT)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert response["usage"]["output_tokens"] == 12
    assert (reply.headers["x-pipeline"], response["model"]) == ("default", "default")
    assert (
        http.post("/v1/responses", json=GREEDY | {"input": CHAT}).json()["output"][0]["content"]
        == (response["output"][0]["content"])
    )
    below = http.post("/pipelines/default/v1/responses", json=GREEDY | {"input": CHAT, "model": "whatever"}).json()
    assert text_of(below) == text_of(response)


def test_a_stream_has_the_same_text(http: httpx.Client):
    reply = http.post("/v1/responses", json=GREEDY | {"input": CHAT, "stream": True})
    assert reply.headers["content-type"] == "text/event-stream"
    *events, end, _ = reply.text.split("\n\n")
    assert end == "data: [DONE]"
    told = [json.loads(event.partition("data: ")[2]) for event in events]
    whole = expected(http, CHAT)
    assert "".join(event.get("delta", "") for event in told) == text_of(told[-1]["response"]) == whole
    assert told[-1]["type"] == "response.incomplete"
    assert [event["sequence_number"] for event in told] == list(range(len(told)))


def test_what_is_refused_has_a_status(http: httpx.Client):
    for body, status, param in (
        ({"input": "a", "max_output_tokens": 0, "stream": True}, 400, "max_output_tokens"),
        ({"input": "a", "model": "gpt"}, 404, "model"),
        ({"input": "a", "previous_response_id": "resp_1"}, 400, "previous_response_id"),
    ):
        reply = http.post("/v1/responses", json=body)
        assert (reply.status_code, reply.json()["error"]["param"]) == (status, param), reply.text


@asynccontextmanager
async def connected(server: Web, prefix: str = "") -> AsyncIterator[ClientConnection]:
    async with asyncio.timeout(CLIENT_S), connect(f"ws://127.0.0.1:{server.port}{prefix}/v1/responses") as socket:
        yield socket


async def send(socket: ClientConnection, **fields: Any) -> None:
    await socket.send(json.dumps({"type": "response.create", **GREEDY, **fields}))


async def turn(socket: ClientConnection, **fields: Any) -> list[dict[str, Any]]:
    await send(socket, **fields)
    events = [json.loads(await socket.recv())]
    while events[-1]["type"] not in ENDS:
        events.append(json.loads(await socket.recv()))
    return events


@pytest.mark.parametrize("prefix", ["", "/pipelines/default"])
async def test_a_socket_continues_its_conversations(http: httpx.Client, generating: Web, prefix: str):
    async with connected(generating, prefix) as socket:
        *told, end = await turn(socket, input=TEXT, instructions="be short", model="default" if not prefix else "x")
        first = text_of(end["response"])
        assert first == expected(http, CHAT) == "".join(event.get("delta", "") for event in told)
        *_, end = await turn(socket, input="and then?", previous_response_id=end["response"]["id"])
        chat = [CHAT[1], {"role": "assistant", "content": first}, {"role": "user", "content": "and then?"}]
        assert text_of(end["response"]) == expected(http, chat)
        (error,) = await turn(socket, input="a", previous_response_id="resp_1")
        assert (error["status"], error["error"]["code"]) == (400, "previous_response_not_found")
        (error,) = await turn(socket, input="a", max_output_tokens=10**6)
        assert (error["status"], error["error"]["param"]) == (400, "max_output_tokens")
        await socket.send("no JSON")
        assert json.loads(await socket.recv())["error"]["message"].startswith("This is not valid JSON")


async def test_lanes_run_side_by_side_and_each_in_order(http: httpx.Client, generating: Web):
    async with connected(generating) as socket:
        for number in range(6):
            await send(socket, input=f"{TEXT} {number}", stream_id="ab"[number % 2], metadata={"number": str(number)})
        ended: dict[str, list[Any]] = {"a": [], "b": []}
        while sum(map(len, ended.values())) < 6:
            event = json.loads(await socket.recv())
            if event["type"] in ENDS:
                ended[event["stream_id"]].append(event["response"])
    assert [[response["metadata"]["number"] for response in ended[lane]] for lane in "ab"] == [list("024"), list("135")]
    assert text_of(ended["b"][1]) == expected(http, [{"role": "user", "content": f"{TEXT} 3"}])
