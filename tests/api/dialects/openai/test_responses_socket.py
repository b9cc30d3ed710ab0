"""Frames of the WebSocket ``/v1/responses``, without a server."""

import json
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from inference.api.dialects.base import Rejected, Say, Start
from inference.api.dialects.openai import responses_kept
from inference.api.dialects.openai.errors import PreviousResponseNotFound
from inference.api.dialects.openai.responses_kept import Conversation, KeptConversations
from inference.api.dialects.openai.responses_socket import ResponsesSocket
from inference.errors import InferenceError, Invalid, Overloaded
from inference.messaging.messages import Token
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import Served
from inference.testing import FakePipeline
from tests.api.dialects.openai.test_chat import JSON
from tests.serving.results import make_result

DESCRIPTION = FakePipeline("text-generation").description


class Client:
    """Of one socket."""

    def __init__(self, deployment: Any) -> None:
        self.socket = ResponsesSocket()
        self.deployment = deployment
        deployment.description = lambda pipeline: DESCRIPTION
        self.turns = 0

    def send(self, **fields: Any) -> Any:
        frame = json.dumps({"type": "response.create", "input": "a"} | fields)
        return self.socket.receive(frame, self.deployment, None)

    def refused(self, received: Rejected) -> dict[str, Any]:
        context = RequestContext(transport="websocket")
        frame: dict[str, Any] = json.loads(self.socket.error(received.id, context, received.error))
        return frame

    def turn(self, *texts: str, described: Any = DESCRIPTION, **fields: Any) -> tuple[Query, list[dict[str, Any]]]:
        """The query of a frame, and what it is answered if the model says this."""
        self.turns += 1
        context = RequestContext(transport="websocket", id=f"r{self.turns}")
        start = self.send(**fields)
        writer = self.socket.writer(start.id, context)
        query = start.read().adapted(described)
        frames = [*writer.accepted(Served("chat", "v1"))]
        generation = GenerationResult(given="a", began=0.0) if query.stream else None
        if generation is not None:
            generation.finish_reason = "eos_token"
            for number, text in enumerate(texts):
                token = Token(1, number, 0, text, 0.0)
                generation.take(token)
                if number + 1 < len(texts):
                    frames += writer.token(token, generation)
        output = json.dumps([{"generated_text": "".join(texts)}]).encode()
        frames += writer.end(make_result(query, [output], generation=generation, description=described))
        return query, [json.loads(frame) for frame in frames]


@pytest.fixture
def client(deployment: Any) -> Client:
    return Client(deployment)


def test_frames_are_events_and_name_their_lane(client: Client):
    _, frames = client.turn("on", "ce", stream_id="l.1")
    assert {frame["stream_id"] for frame in frames} == {"l.1"}
    assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
    assert [frame["delta"] for frame in frames if frame["type"].endswith(".delta")] == ["on", "ce"]
    assert frames[0]["type"] == "response.created"
    assert frames[-1]["response"]["output"][0]["content"][0]["text"] == "once"
    assert all("stream_id" not in frame for frame in client.turn("a")[1])


def test_requests_of_a_lane_come_one_after_the_other(client: Client):
    starts = [client.send(), client.send(stream_id="a"), client.send(stream_id="a")]
    assert all(isinstance(start, Start) for start in starts)
    assert [start.lane for start in starts] == ["", "a", "a"]
    assert len({start.id for start in starts}) == 3


def test_a_response_continues_one_before_it_without_its_instructions(client: Client):
    _, frames = client.turn("b", instructions="be short")
    query, frames = client.turn(
        "d", input="c", instructions="be long", previous_response_id=frames[-1]["response"]["id"]
    )
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert query.inputs == [[{"role": "system", "content": "be long"}, *chat]]
    assert frames[-1]["response"]["previous_response_id"] == "resp_r1"
    query, _ = client.turn("f", input="e", previous_response_id="resp_r2", stream_id="fork")
    assert query.inputs == [[*chat, {"role": "assistant", "content": "d"}, {"role": "user", "content": "e"}]]


def test_a_response_gives_what_a_call_before_it_asked_for(client: Client):
    tool = {"type": "function", "name": "f"}
    _, frames = client.turn('{"name": "f", "arguments": {}}', "", tools=[tool])
    (call,) = frames[-1]["response"]["output"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "warm"}
    query, _ = client.turn("c", input=[output], previous_response_id="resp_r1")
    _, calling, answer = query.inputs[0]["messages"]
    assert (calling["tool_calls"][0]["function"], answer["content"]) == ({"name": "f", "arguments": {}}, "warm")


def test_nothing_is_generated_where_that_is_not_wanted(client: Client):
    said = client.send(generate=False, stream_id="a", instructions="be short")
    assert isinstance(said, Say)
    frames = [json.loads(frame) for frame in said.frames]
    assert [frame["type"] for frame in frames] == ["response.created", "response.in_progress", "response.completed"]
    response = frames[-1]["response"]
    assert (response["output"], response["usage"], frames[-1]["stream_id"]) == ([], None, "a")
    query, _ = client.turn("c", input="b", previous_response_id=response["id"])
    assert query.inputs == [[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]]


def test_a_failure_names_its_lane_and_ends_the_conversation(client: Client):
    client.turn("b")
    start = client.send(previous_response_id="resp_r1", stream_id="x")
    writer = client.socket.writer(start.id, RequestContext(transport="websocket"))
    start.read()
    error = json.loads(writer.error(Overloaded("Too much.", retry_after_s=3)))
    assert (error["type"], error["status"], error["stream_id"]) == ("error", 429, "x")
    assert error["error"]["headers"] == {"retry-after": "3"}
    with pytest.raises(PreviousResponseNotFound, match="There is no response 'resp_r1' here"):
        client.send(previous_response_id="resp_r1").read()


def test_a_pipeline_that_tells_no_tokens_answers_in_the_same_events(client: Client):
    described = FakePipeline("text-generation", streams=False).description
    query, whole = client.turn("once", described=described)
    assert (query.stream, query.tokens_for) == (False, None)
    _, streamed = client.turn("once")
    assert [frame["type"] for frame in whole] == [frame["type"] for frame in streamed]
    assert whole[-1]["response"]["output"][0]["content"][0]["text"] == "once"


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"type": "infer"}, "type", "'type' is 'infer'; send a frame such as"),
        ({"type": None}, "type", "'type' is None; send a frame such as"),
        ({"generate": 1}, "generate", "'generate' is 1; it must be true or false."),
        ({"generate": False, "tools": [1]}, "tools", "tools[0] is 1; it must be like"),
        ({"generate": False, "made_up": 1}, "made_up", "'made_up' is not supported here; leave it out."),
        ({"generate": False, "model": "x"}, "model", "There is no model 'x' here"),
        ({"generate": False, "previous_response_id": 5}, "previous_response_id", "'previous_response_id' is 5; it"),
    ],
)
def test_a_frame_that_is_refused(client: Client, fields: dict[str, Any], param: str, sentence: str):
    error = client.refused(client.send(**fields, stream_id="a"))
    assert (error["error"]["param"], error["stream_id"]) == (param, "a")
    assert error["error"]["message"].startswith(sentence)


@pytest.mark.parametrize("stream_id", ["", "a b", "é", 5, "x" * 257, ["a"]])
def test_a_lane_has_a_name_of_few_characters(client: Client, stream_id: Any):
    with pytest.raises(Invalid, match=r"'stream_id' is .* it must have 1 to 256 letters"):
        client.send(stream_id=stream_id)


def test_nothing_is_steered(client: Client):
    said = client.send(type="response.steer", previous_response_id="resp_1")
    (failed,) = map(json.loads, said.frames)
    assert (failed["type"], failed["error"]["code"]) == ("response.steer.failed", "steering_not_supported")
    assert failed["steer"] == {"input": "a", "previous_response_id": "resp_1"}


def test_few_conversations_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(responses_kept, "MOST_KEPT", 3)
    monkeypatch.setattr(responses_kept, "MOST_KEPT_BYTES", 10)
    kept = KeptConversations()
    for number in range(3):
        kept.keep(str(number), Conversation([], 1))
    kept.before("0")
    kept.keep("3", Conversation([], 1))
    with pytest.raises(PreviousResponseNotFound):
        kept.before("1")
    kept.keep("4", Conversation([], 9))
    assert [found for found in "01234" if _is_kept(kept, found)] == ["3", "4"]
    kept.keep("5", Conversation([], 11))
    kept.drop("5")
    assert [found for found in "012345" if _is_kept(kept, found)] == ["3", "4"]
    kept.drop("4")
    kept.keep("6", Conversation([], 9))
    assert [found for found in "0123456" if _is_kept(kept, found)] == ["3", "6"]


def _is_kept(kept: KeptConversations, response_id: str) -> bool:
    try:
        kept.before(response_id)
    except PreviousResponseNotFound:
        return False
    return True


NAMES = ["type", "stream_id", "generate", "previous_response_id", "input", "instructions", "stream", "tools"]
VALUES = JSON | st.sampled_from(["response.create", "response.steer", "a"])


@given(st.lists(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), VALUES, max_size=4), max_size=3))
def test_whatever_frames_come_are_read_or_refused(deployment: Any, frames: list[dict[str, Any]]):
    client = Client(deployment)
    for frame in frames:
        with suppress(InferenceError):
            received = client.send(**frame)
            if isinstance(received, Rejected):
                assert client.refused(received)["type"] == "error"
            elif isinstance(received, Start):
                client.socket.writer(received.id, RequestContext(transport="websocket"))
                received.read().adapted(DESCRIPTION)
