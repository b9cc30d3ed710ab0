"""What a response asks of the service, and its events, without one."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.api.dialects.base import Head
from inference.api.dialects.openai.errors import PreviousResponseNotFound, UnsupportedField
from inference.api.dialects.openai.responses import LOGPROBS, Responses, ResponseWriter
from inference.errors import Invalid, Malformed, NotFound, Overloaded
from inference.messaging.messages import Generation, Result, Token
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import Outcome
from inference.testing import FakePipeline
from tests.api.dialects.openai.test_chat import JSON
from tests.serving.results import make_result

Ask = Callable[..., Query]
URL = "data:image/png;base64,AAAA"
DESCRIPTION = FakePipeline("text-generation").description
CONTEXT = RequestContext(transport="http", id="r1")
CHAT = [{"role": "user", "content": "a text"}]
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "warm"}


@pytest.fixture(scope="module")
def ask(deployment: Any, head: Callable[..., Head]) -> Ask:
    """The query for a pipeline of ``task``."""

    def make(*, task: str = "text-generation", **fields: Any) -> Query:
        body = json.dumps({"input": "a text"} | fields).encode()
        return Responses().read(head(), body, deployment).adapted(FakePipeline(task).description)

    return make


@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        ({}, {}),
        ({"max_output_tokens": 3}, {"max_new_tokens": 3}),
        ({"temperature": 0, "top_p": 1}, {"do_sample": False, "top_p": 1}),
        ({"temperature": 0.7}, {"do_sample": True, "temperature": 0.7}),
        ({"top_k": 5, "seed": 1}, {"do_sample": True, "top_k": 5, "seed": 1}),
        ({"include": [LOGPROBS], "top_logprobs": 3}, {"top_n_tokens": 3}),
        ({"include": ["reasoning.encrypted_content"], "stream_options": {"include_obfuscation": False}}, {}),
        ({"text": {"format": {"type": "text"}}, "tools": [], "tool_choice": "auto", "truncation": "disabled"}, {}),
        ({"tools": [TOOL], "tool_choice": "none", "background": False, "reasoning": None}, {}),
        ({"metadata": {"a": "b"}, "store": True, "user": "u", "service_tier": "auto", "prompt_cache_key": "k"}, {}),
    ],
)
def test_fields_mean_parameters(ask: Ask, fields: dict[str, Any], parameters: dict[str, Any]):
    query = ask(**fields)
    assert query.parameters == parameters | {"return_full_text": False}
    assert query.inputs == [CHAT]


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"input": None}, "input", "There is nothing in 'input'; send an object such as"),
        ({"input": []}, "input", "There is nothing in 'input'"),
        ({"input": 5}, "input", "'input' is 5; it must be a text, or a list of items such as"),
        ({"input": ["a"]}, "input", "input[0] is 'a'; it must be an item such as"),
        ({"input": [{"role": "tool", "content": ""}]}, "input", "input[0] has the role 'tool'; it must be one of"),
        ({"input": [{"role": "user"}]}, "input", "input[0] has the content None; it must be a text or a list."),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input", "input[0] has the part {"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": URL}]}]},
            "input",
            "'input' has an image, and pipeline chat takes only texts.",
        ),
        ({"instructions": ["a"]}, "instructions", "'instructions' is ['a']; it must be a text."),
        ({"max_output_tokens": 0}, "max_output_tokens", "'max_output_tokens' is 0; it must be a whole number from 1"),
        ({"stream": 1}, "stream", "'stream' is 1; it must be true or false."),
        ({"top_logprobs": 2}, "top_logprobs", f"'top_logprobs' needs '{LOGPROBS}' in 'include'"),
        ({"include": LOGPROBS}, "include", f"'include' is '{LOGPROBS}'; it must be a list such as"),
        ({"metadata": {"a": 1}}, "metadata", "'metadata' is {'a': 1}; it must be an object with texts."),
        ({"user": 1}, "user", "'user' is 1; it must be a text."),
        ({"tools": [{"type": "function"}]}, "tools", "tools[0] is {'type': 'function', 'function': {}}; it must be"),
        ({"tool_choice": "required"}, "tool_choice", "'tool_choice' is 'required', but there are no 'tools'"),
        ({"input": [CALL | {"arguments": "x"}]}, "input", "input[0] is {'type': 'function_call'"),
        ({"input": [OUTPUT]}, "input", "input[0] answers 'c1'; no function_call before it has that call_id."),
        ({"input": [CALL, OUTPUT | {"output": 5}]}, "input", "input[1] is {'type': 'function_call_output'"),
        ({"text": 1}, "text", "'text' is 1; it must be like"),
        ({"text": {"format": "json"}}, "text.format", "'text.format' is 'json'; it must be like"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format", "'text.format' is {'type': 'json_schema'"),
        ({"text": {"format": {"type": "xml"}}}, "text.format", "'text.format' is {'type': 'xml'}; it must be like"),
    ],
)
def test_a_refusal_names_the_field_and_what_would_be_right(ask: Ask, fields: dict[str, Any], param: str, sentence: str):
    with pytest.raises(Invalid) as refused:
        ask(**fields)
    assert refused.value.param == param  # type: ignore[attr-defined]
    assert refused.value.message.startswith(sentence)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "web_search"}]},
        {"text": {"verbosity": "low"}},
        {"reasoning": {"effort": "low"}},
        {"truncation": "auto"},
        {"background": True},
        {"conversation": "conv_1"},
        {"prompt": {"id": "p"}},
        {"n": 2},
        {"generate": False},
        {"input": [{"type": "item_reference", "id": "1"}]},
        {"input": [{"role": "user", "content": "a", "tool_calls": [1]}]},
    ],
)
def test_what_would_change_the_answer_and_is_not_supported_is_refused(ask: Ask, fields: dict[str, Any]):
    with pytest.raises(UnsupportedField) as refused:
        ask(**fields)
    assert refused.value.param in fields


def test_a_format_is_a_grammar_and_is_told(ask: Ask):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    query = ask(text={"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}})
    assert query.parameters["grammar"] == {"type": "json", "value": schema}
    result = make_result(query, [b'[{"generated_text": "{}"}]'], description=DESCRIPTION)
    told = json.loads(Responses().reply(CONTEXT, result).body)["text"]["format"]
    assert told == {"type": "json_schema", "name": "n", "description": None, "schema": schema, "strict": True}
    assert ask(text={"format": {"type": "json_object"}}).parameters["grammar"] == {"type": "json_object"}


def test_calls_and_what_they_gave_are_messages(ask: Ask):
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "let me see"}]}
    (given,) = ask(input=[*CHAT, said, CALL, CALL | {"call_id": "c2"}, OUTPUT], tools=[TOOL]).inputs
    _, calling, answer = given["messages"]
    assert (calling["role"], calling["content"]) == ("assistant", "let me see")
    assert [call["id"] for call in calling["tool_calls"]] == ["c1", "c2"]
    assert calling["tool_calls"][0]["function"] == {"name": "f", "arguments": {"a": 1}}
    assert answer == {"role": "tool", "tool_call_id": "c1", "name": "f", "content": "warm"}
    assert given["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def test_a_tool_that_must_be_called_makes_a_grammar(ask: Ask):
    query = ask(tools=[TOOL], tool_choice={"type": "function", "name": "f"})
    assert query.parameters["grammar"] == query.state.tools.grammar()


@pytest.mark.parametrize("text", ["let me see", ""])
def test_calls_are_items(ask: Ask, text: str):
    query = ask(stream=True, tools=[TOOL])
    pieces = [text, "<tool", '_call>{"name": "f", ', '"arguments": {"a":1}}</tool_call>']
    writer, generation = ResponseWriter(CONTEXT, query.state), GenerationResult(given=CHAT, began=0.0)
    told = [event for piece in pieces[:-1] for event in events(writer.token(take(generation, piece), generation))]
    take(generation, pieces[-1])
    generation.finish_reason = "eos_token"
    output = json.dumps([{"generated_text": "".join(pieces)}]).encode()
    result = make_result(query, [output], generation=generation, description=DESCRIPTION)
    told += events(writer.end(result))
    response = told[-1]["response"]
    *before, call = response["output"]
    assert [each["content"][0]["text"] for each in before] == ([text] if text else [])
    assert call == {
        "id": "fc_r1_0",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_r1_0",
        "name": "f",
        "arguments": '{"a":1}',
    }
    called = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]
    assert kinds(told[-5:]) == [*called, "completed"]
    assert {event["output_index"] for event in told[-5:-1]} == {len(before)}
    whole = json.loads(Responses().reply(CONTEXT, result).body)
    assert whole["output"] == response["output"]
    assert whole["tools"] == [TOOL | {"description": None, "strict": False}]


def test_a_text_that_only_begins_like_a_call_is_told(ask: Ask):
    query = ask(stream=True, tools=[TOOL])
    writer, generation = ResponseWriter(CONTEXT, query.state), GenerationResult(given=CHAT, began=0.0)
    take(generation, '{"name": "g"}')
    generation.finish_reason = "eos_token"
    told = events(writer.end(make_result(query, generation=generation)))
    assert [each["content"][0]["text"] for each in told[-1]["response"]["output"]] == ['{"name": "g"}']


def test_no_response_is_kept_over_http(ask: Ask):
    with pytest.raises(PreviousResponseNotFound, match="not kept over HTTP; send the whole conversation"):
        ask(previous_response_id="resp_1")


def test_items_are_messages_of_a_chat(ask: Ask):
    answer = {
        "id": "msg_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "phase": "final_answer",
        "content": [{"type": "output_text", "text": "b", "annotations": [], "logprobs": []}],
    }
    parts = [{"type": "input_text", "text": "c"}, {"type": "input_text", "text": "d"}]
    items = [{"role": "developer", "content": "a"}, answer, {"role": "user", "content": parts}]
    assert ask(input=items, instructions="i").inputs == [
        [
            {"role": "system", "content": "i"},
            {"role": "system", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c\nd"},
        ]
    ]


def test_images_are_for_pipelines_that_take_them(ask: Ask):
    content = [{"type": "input_image", "image_url": URL, "detail": "auto"}, {"type": "input_text", "text": "What?"}]
    query = ask(task="image-text-to-text", input=[{"role": "user", "content": content}])
    image = {"type": "image_url", "image_url": {"url": URL}}
    assert query.inputs == [[{"role": "user", "content": [image, {"type": "text", "text": "What?"}]}]]


def test_other_pipelines_answer_no_chats(ask: Ask):
    with pytest.raises(Invalid, match="Pipeline chat serves fill-mask; /v1/responses needs one that answers chats"):
        ask(task="fill-mask")


NAMES = [*Responses.fields, "temperature", "max_output_tokens", "stop"]


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON, max_size=5))
def test_whatever_is_sent_is_read_or_refused(deployment: Any, head: Callable[..., Head], fields: Any):
    with suppress(Invalid, Malformed, NotFound):
        body = json.dumps({"input": "a"} | fields).encode()
        Responses().read(head(), body, deployment).adapted(DESCRIPTION)


ITEM = st.dictionaries(st.sampled_from(["type", "role", "content", "id", "text", "image_url"]), JSON, max_size=4)


@given(st.lists(ITEM | JSON, max_size=3))
def test_whatever_items_are_sent_are_read_or_refused(deployment: Any, head: Callable[..., Head], items: Any):
    with suppress(Invalid, Malformed):
        Responses().read(head(), json.dumps({"input": items}).encode(), deployment).adapted(DESCRIPTION)


def take(generation: GenerationResult, text: str) -> Token:
    token = Token(1, len(generation.tokens), 0, text, -0.5, data=text.encode(), top=((3, "\ufffd", -1.0),))
    generation.take(token)
    return token


def events(written: bytes) -> list[dict[str, Any]]:
    """Each has its type as its name."""
    told = []
    for event in written.decode().split("\n\n")[:-1]:
        if event != "data: [DONE]":
            name, _, data = event.partition("\n")
            told.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {told[-1]['type']}"
    return told


def kinds(told: Iterable[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in told]


@pytest.mark.parametrize(("reason", "status"), [("length", "incomplete"), ("eos_token", "completed")])
def test_events_tell_a_response_from_its_beginning_to_its_end(ask: Ask, reason: Any, status: str):
    query = ask(stream=True, include=[LOGPROBS], top_logprobs=1, metadata={"a": "b"})
    writer, generation = ResponseWriter(CONTEXT, query.state), GenerationResult(given=CHAT, began=0.0)
    first = events(writer.token(take(generation, "on"), generation))
    assert kinds(first) == ["created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"]
    assert writer.token(take(generation, ""), generation)  # a token without text still has a probability
    take(generation, "ce")
    generation.finish_reason = reason
    assert writer.finished(generation) == b""
    written = writer.end(make_result(query, [b'[{"generated_text": "once"}]'], generation=generation))
    assert written.endswith(b"data: [DONE]\n\n")
    last = events(written)
    assert kinds(last) == ["output_text.delta", "output_text.done", "content_part.done", "output_item.done", status]
    assert [event["sequence_number"] for event in [*first, *last]] == [*range(5), *range(6, 11)]
    response = last[-1]["response"]
    (item,) = response["output"]
    assert (item["status"], item["content"], last[1]["text"]) == (status, [last[2]["part"]], "once")
    assert [token["bytes"] for token in item["content"][0]["logprobs"]] == [list(b"on"), [], list(b"ce")]
    assert item["content"][0]["logprobs"][0]["top_logprobs"][0]["bytes"] == list("\ufffd".encode())
    assert (response["status"], response["metadata"], response["completed_at"] is None) == (
        status,
        {"a": "b"},
        status == "incomplete",
    )
    assert response["incomplete_details"] == ({"reason": "max_output_tokens"} if status == "incomplete" else None)
    assert first[0]["response"].keys() == response.keys()


def test_a_stream_that_fails_says_so_to_clients_of_both_kinds(ask: Ask):
    writer = ResponseWriter(CONTEXT, ask(stream=True).state)
    generation = GenerationResult(given=CHAT, began=0.0)
    writer.token(take(generation, "on"), generation)
    error, failed = events(writer.error(Overloaded("Too much.")))
    assert error["error"] == {"message": "Too much.", "type": "rate_limit_error", "param": None, "code": "overloaded"}
    assert (error["type"], error["code"], error["message"]) == ("error", "overloaded", "Too much.")
    assert failed["response"]["error"] == {"code": "rate_limit_exceeded", "message": "Too much."}
    assert (failed["response"]["status"], failed["type"]) == ("failed", "response.failed")


def test_an_answer_that_is_not_streamed(ask: Ask):
    query = ask(max_output_tokens=2, instructions="i")
    generation = Generation("length", 5, 2, 0.0, 0.0, None, cached_tokens=3)
    outcome = Outcome(Result(1, b'[{"generated_text": "on\\u00e9"}]', 0, 0, 1, generation, tokens=5))
    result = make_result(query, description=DESCRIPTION, outcomes=[outcome])
    told = json.loads(Responses().reply(CONTEXT, result).body)
    assert (told["id"], told["status"], told["model"]) == ("resp_r1", "incomplete", "chat")
    assert told["output"][0]["content"] == [{"type": "output_text", "annotations": [], "text": "oné", "logprobs": []}]
    assert [told["usage"][name] for name in ("input_tokens", "output_tokens", "total_tokens")] == [5, 2, 7]
    assert told["usage"]["input_tokens_details"] == {"cached_tokens": 3, "cache_write_tokens": 0}
    assert (told["max_output_tokens"], told["instructions"], told["store"]) == (2, "i", False)
