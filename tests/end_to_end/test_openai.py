"""Chats and completions of a real model as OpenAI's clients ask for them; the texts are those of ``POST /``."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from tokenizers import Tokenizer

from tests.conftest import client
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

CHAT = [{"role": "system", "content": "be short"}, {"role": "user", "content": "once upon a time"}]
PROMPT = "once upon a time"
GREEDY = {"temperature": 0, "max_tokens": 12}
SAMPLED = {"temperature": 1.5, "top_p": 0.9, "seed": 7, "max_tokens": 12}
HOW = pytest.mark.parametrize("how", [GREEDY, SAMPLED], ids=["greedy", "sampled"])


@pytest.fixture
def http(generating: Web) -> Iterator[httpx.Client]:
    with client(generating) as opened:
        yield opened


def native(http: httpx.Client, inputs: Any, how: dict[str, Any]) -> dict[str, Any]:
    """The pipeline's own answer, with details."""
    renamed = {"max_tokens": "max_new_tokens"}
    parameters = {renamed.get(name, name): value for name, value in how.items()}
    if how["temperature"] == 0:
        del parameters["temperature"]
    parameters |= {"do_sample": how["temperature"] > 0, "return_full_text": False, "details": True}
    reply = http.post("/", json={"inputs": inputs, "parameters": parameters})
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()[0]
    return answer


def ask(http: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    reply = http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-pipeline"] == "default"
    answer: dict[str, Any] = reply.json()
    assert answer["system_fingerprint"] == reply.headers["x-model-version"]
    return answer


def chat(http: httpx.Client, **body: Any) -> dict[str, Any]:
    return ask(http, "/v1/chat/completions", messages=CHAT, **body)


def complete(http: httpx.Client, **body: Any) -> dict[str, Any]:
    return ask(http, "/v1/completions", **{"prompt": PROMPT, **body})


def chunks(http: httpx.Client, path: str, **body: Any) -> list[dict[str, Any]]:
    reply = http.post(path, json=body | {"stream": True})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "text/event-stream"
    *events, end, nothing = reply.text.split("\n\n")
    assert (end, nothing) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def by_choice(told: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    pieces = sorted((each["choices"][0] for each in told if each["choices"]), key=lambda piece: piece["index"])
    return {index: list(some) for index, some in groupby(pieces, key=lambda piece: piece["index"])}


def joined(pieces: list[dict[str, Any]]) -> str:
    return "".join(piece.get("delta", piece).get("content") or piece.get("text", "") for piece in pieces)


def counted(told: dict[str, Any]) -> dict[str, Any]:
    """Usage, without what depends on the requests before."""
    return {name: value for name, value in told["usage"].items() if name != "prompt_tokens_details"}


@HOW
def test_a_chat_is_answered_with_the_pipelines_text(http: httpx.Client, how: dict[str, Any]):
    expected = native(http, CHAT, how)
    answer = chat(http, **how)
    choice = {"role": "assistant", "content": expected["generated_text"]}
    assert answer["choices"] == [{"index": 0, "message": choice, "logprobs": None, "finish_reason": "length"}]
    used = answer["usage"]
    assert used["completion_tokens"] == expected["details"]["generated_tokens"] == 12
    assert used["total_tokens"] == used["prompt_tokens"] + 12 > 20
    assert (answer["object"], answer["model"], answer["id"][:9]) == ("chat.completion", "default", "chatcmpl-")


@HOW
def test_chunks_of_a_chat_make_the_same_text(http: httpx.Client, how: dict[str, Any]):
    whole = chat(http, **how)
    told = chunks(http, "/v1/chat/completions", messages=CHAT, stream_options={"include_usage": True}, **how)
    *pieces, end = by_choice(told)[0]
    assert pieces[0]["delta"]["role"] == "assistant"
    assert joined(pieces) == whole["choices"][0]["message"]["content"]
    assert all(piece["finish_reason"] is None for piece in pieces)
    assert (end["delta"], end["finish_reason"]) == ({}, "length")
    assert (told[-1]["choices"], counted(told[-1])) == ([], counted(whole))
    assert told[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] > 0, "the same prompt was read before"
    assert len({(each["id"], each["created"], each["object"]) for each in told}) == 1
    assert {each["system_fingerprint"] for each in told} == {whole["system_fingerprint"]}


def test_choices_differ_and_come_side_by_side(http: httpx.Client):
    whole = chat(http, n=3, **SAMPLED)
    texts = [choice["message"]["content"] for choice in whole["choices"]]
    assert len(set(texts)) == 3
    assert texts[0] == native(http, CHAT, SAMPLED)["generated_text"]
    assert whole["usage"]["completion_tokens"] == 36
    assert whole["usage"]["prompt_tokens"] == chat(http, **GREEDY)["usage"]["prompt_tokens"]
    told = by_choice(chunks(http, "/v1/chat/completions", messages=CHAT, n=3, **SAMPLED))
    assert [joined(told[index]) for index in range(3)] == texts


def test_a_prompt_may_be_tokens_of_the_models_own(http: httpx.Client, language_model: Path):
    ids = Tokenizer.from_file(str(language_model / "tokenizer.json")).encode(PROMPT).ids
    texts = [complete(http, prompt=prompt, **GREEDY)["choices"][0]["text"] for prompt in (PROMPT, ids, [ids])]
    assert texts == [native(http, PROMPT, GREEDY)["generated_text"]] * 3
    assert complete(http, prompt=ids, **GREEDY)["usage"]["prompt_tokens"] == len(ids)


def test_prompts_of_a_completion_have_as_many_choices_each(http: httpx.Client):
    prompts = ["once upon", "a small boat"]
    body = {"prompt": prompts, "n": 2, **SAMPLED}
    whole = complete(http, **body)
    texts = [choice["text"] for choice in whole["choices"]]
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2, 3]
    assert [texts[0], texts[2]] == [native(http, prompt, SAMPLED)["generated_text"] for prompt in prompts]
    told = by_choice(chunks(http, "/v1/completions", **body, echo=True))
    assert [joined(told[index]) for index in range(4)] == [prompts[index // 2] + texts[index] for index in range(4)]
    echoed = complete(http, **body, echo=True)
    assert [choice["text"] for choice in echoed["choices"]] == [joined(told[index]) for index in range(4)]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_the_text_ends_before_its_stop_sequence(http: httpx.Client, path: str):
    body = GREEDY | {"max_tokens": 30} | ({"messages": CHAT} if "chat" in path else {"prompt": PROMPT})
    text = joined(by_choice(chunks(http, path, **body))[0])
    stop = text[len(text) // 2 :][:5]
    before = text[: text.index(stop)]
    told = by_choice(chunks(http, path, **body, stop=stop))[0]
    (whole,) = ask(http, path, **body, stop=["never", stop])["choices"]
    assert joined(told) == joined([whole | {"delta": whole.get("message", whole)}]) == before
    assert told[-1]["finish_reason"] == whole["finish_reason"] == "stop"


def test_tokens_are_told_with_their_probabilities(http: httpx.Client):
    details = native(http, CHAT, GREEDY)["details"]["tokens"]
    content = chat(http, logprobs=True, top_logprobs=2, **GREEDY)["choices"][0]["logprobs"]["content"]
    assert [each["logprob"] for each in content] == pytest.approx([each["logprob"] for each in details], abs=1e-3)
    text = chat(http, **GREEDY)["choices"][0]["message"]["content"]
    assert bytes(byte for each in content for byte in each["bytes"]).decode(errors="replace").strip() == text.strip()
    assert all(each["top_logprobs"][0]["logprob"] == pytest.approx(each["logprob"], abs=1e-3) for each in content)
    told = by_choice(chunks(http, "/v1/chat/completions", messages=CHAT, logprobs=True, top_logprobs=2, **GREEDY))[0]
    streamed = [each for piece in told if piece["logprobs"] for each in piece["logprobs"]["content"]]
    assert [each["bytes"] for each in streamed] == [each["bytes"] for each in content]


def test_tokens_of_a_completion_have_their_place_in_the_text(http: httpx.Client):
    choice = complete(http, logprobs=1, **GREEDY)["choices"][0]
    told, text = choice["logprobs"], choice["text"]
    assert len(told["tokens"]) == len(told["token_logprobs"]) == len(told["top_logprobs"]) == 12
    assert told["text_offset"] == sorted(told["text_offset"])
    for token, start, top in zip(told["tokens"], told["text_offset"], told["top_logprobs"], strict=True):
        assert token in top
        assert "\ufffd" in token or token in text[start:][: len(token) + 3]  # after what was no character before it


def test_an_answer_follows_its_schema(http: httpx.Client):
    """Of a model that writes nonsense otherwise; the token that ends its texts is the tokenizer's."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 6}, "size": {"enum": ["small", "large"]}},
        "required": ["city", "size"],
        "additionalProperties": False,
    }
    asked = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": schema}}
    how = {"response_format": asked, "temperature": 1.5, "seed": 7, "max_tokens": 200}

    (choice,) = chat(http, **how)["choices"]
    lines = http.post("/v1/chat/completions", json={"messages": CHAT, "stream": True} | how).text.splitlines()

    assert choice["finish_reason"] == "stop"
    jsonschema.validate(json.loads(choice["message"]["content"]), schema)
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert streamed == choice["message"]["content"]
    hub = {"grammar": {"type": "json", "value": schema}, "max_new_tokens": 200, "return_full_text": False}
    (native_answer,) = http.post("/", json={"inputs": PROMPT, "parameters": hub}).json()
    jsonschema.validate(json.loads(native_answer["generated_text"]), schema)


def test_a_tool_that_must_be_called_is(http: httpx.Client):
    parameters = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "weather", "description": "now", "parameters": parameters}}
    how: dict[str, Any] = {"tools": [tool], "tool_choice": "required", "temperature": 1, "seed": 3, "max_tokens": 300}

    (choice,) = chat(http, **how)["choices"]
    lines = http.post("/v1/chat/completions", json={"messages": CHAT, "stream": True} | how).text.splitlines()

    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert json.loads(call["function"]["arguments"])["city"] in ("Oslo", "Rome")
    pieces = [json.loads(line[6:])["choices"][0] for line in lines if line.startswith("data: {")]
    assert [piece["finish_reason"] for piece in pieces] == [None, None, "tool_calls"]
    (streamed,) = (piece["delta"]["tool_calls"][0] for piece in pieces if "tool_calls" in piece["delta"])
    assert streamed["function"] == call["function"]
    answered = [*CHAT, choice["message"], {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}]
    more = ask(http, "/v1/chat/completions", messages=answered, tools=[tool], max_tokens=5)
    assert more["usage"]["prompt_tokens"] > chat(http, tools=[tool], max_tokens=5)["usage"]["prompt_tokens"]


@pytest.mark.parametrize("prefix", ["", "/pipelines/default"])
def test_models_are_the_pipelines(http: httpx.Client, prefix: str):
    (card,) = http.get(f"{prefix}/v1/models").json()["data"]
    assert card == {"id": "default", "object": "model", "created": 0, "owned_by": "inference"}
    assert http.get(f"{prefix}/v1/models/default").json() == card
    reply = http.get("/v1/models/acme%2Fnone")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    answer = ask(http, f"{prefix}/v1/completions", model="http://some/where", prompt=PROMPT, **GREEDY)
    assert answer["model"] == "default"


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "sentence"),
    [
        ("chat/completions", {"model": "gpt-4o", "messages": CHAT}, 404, "model", "There is no model 'gpt-4o' here"),
        (
            "chat/completions",
            {"messages": CHAT, "tools": [{}]},
            400,
            "tools",
            "tools[0] is {}; it must be like",
        ),
        ("completions", {"prompt": " "}, 400, None, "The input is empty"),
        ("completions", {"prompt": "a", "max_tokens": 0}, 400, "max_tokens", "a whole number from 1 to 4096"),
        ("completions", {"prompt": [[10**9]]}, 400, None, "token_ids[0] of the input is 1000000000"),
        (
            "chat/completions",
            {"messages": CHAT, "response_format": {"type": "json_object", "value": {"type": "strin"}}},
            400,
            None,
            "No text can follow this schema or regular expression: Invalid type: strin.",
        ),
        ("nothing", {}, 404, None, "There is nothing at this path"),
    ],
)
def test_what_is_refused_has_openais_form(
    http: httpx.Client, path: str, body: dict[str, Any], status: int, param: str | None, sentence: str
):
    reply = http.post(f"/v1/{path}", json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (status, param)
    assert sentence in error["message"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert reply.headers["x-should-retry"] == "false"
    assert len(reply.headers["x-request-id"]) == 32
