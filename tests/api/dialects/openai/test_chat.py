"""What a chat asks of the service, without one."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from inference.api.dialects.base import Head
from inference.api.dialects.openai.chat import ChatChunks, ChatCompletions
from inference.api.dialects.openai.completions import Completions
from inference.api.dialects.openai.errors import UnsupportedField
from inference.errors import Invalid, Malformed, NotFound
from inference.messaging.messages import Token
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.testing import FakePipeline

Ask = Callable[..., Query]
CHAT = [{"role": "user", "content": "a text"}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
DESCRIPTION = FakePipeline("text-generation").description


@pytest.fixture(scope="package")
def ask(deployment: Any, head: Callable[..., Head]) -> Ask:
    """The query for a pipeline of ``task``."""

    def make(*, task: str = "text-generation", described: dict[str, Any] | None = None, **fields: Any) -> Query:
        body = json.dumps({"messages": CHAT} | fields).encode()
        query = ChatCompletions().read(head(), body, deployment)
        return query.adapted(FakePipeline(task, **described or {}).description)

    return make


@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        ({}, {}),
        ({"max_tokens": 3}, {"max_new_tokens": 3}),
        ({"max_tokens": 3, "max_completion_tokens": 4, "max_new_tokens": 5}, {"max_new_tokens": 4}),
        ({"temperature": 0, "top_p": 1}, {"do_sample": False, "top_p": 1}),
        ({"temperature": 0.7}, {"do_sample": True, "temperature": 0.7}),
        ({"top_p": 0}, {"do_sample": True, "top_p": 0.001}),
        ({"top_k": 5, "do_sample": False}, {"do_sample": False, "top_k": 5}),
        ({"n": 2}, {"do_sample": True}),
        ({"n": 2, "temperature": 0}, {"do_sample": False}),
        ({"seed": -1}, {"seed": 2**31 - 1}),
        ({"stop": "x"}, {"stop": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop": ["x", "y"]}),
        ({"stop": [], "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}}, {}),
        ({"frequency_penalty": 1, "logit_bias": {"5": -100}}, {"frequency_penalty": 1, "logit_bias": {"5": -100}}),
        ({"logprobs": True}, {}),
        ({"logprobs": True, "top_logprobs": 3}, {"top_n_tokens": 3}),
        ({"repetition_penalty": 1.5, "temperature": None}, {"repetition_penalty": 1.5}),
        ({"user": "u", "metadata": {}, "store": True, "response_format": {"type": "text"}, "tools": []}, {}),
        ({"response_format": {"type": "json_object"}}, {"grammar": {"type": "json_object"}}),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": "none",
                "parallel_tool_calls": False,
            },
            {},
        ),
    ],
)
def test_fields_mean_parameters(ask: Ask, fields: dict[str, Any], parameters: dict[str, Any]):
    assert ask(**fields).parameters == parameters | {"return_full_text": False}


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"max_tokens": 0}, "max_tokens", "'max_tokens' is 0; it must be a whole number from 1 to 4096."),
        ({"max_completion_tokens": "9"}, "max_completion_tokens", "'max_completion_tokens' is '9'; it must be a whole"),
        ({"temperature": -1}, "temperature", "'temperature' is -1; it must be a number from 0 to 100."),
        ({"top_p": 2}, "top_p", "'top_p' is 2; it must be a number from 0 to 1."),
        ({"n": 0}, "n", "'n' is 0; it must be a whole number from 1 to 128."),
        ({"stop": [1]}, "stop", "'stop' is [1]; it must be a list of 1 to 16 texts"),
        ({"stream": 1}, "stream", "'stream' is 1; it must be true or false."),
        ({"stream_options": True}, "stream_options", "'stream_options' is True; it must be like"),
        ({"top_logprobs": 2}, "top_logprobs", "'top_logprobs' needs 'logprobs'"),
        ({"logprobs": 2}, "logprobs", "'logprobs' is 2; it must be true or false."),
        ({"messages": None}, "messages", "There is no 'messages'; send an object such as"),
        ({"messages": []}, "messages", "'messages' is []; send a list such as in"),
        ({"messages": ["hi"]}, "messages", "messages[0] is 'hi'; it must be like a message in"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages", "messages[0] has the role 'bot'; it must be"),
        ({"messages": [*CHAT, {"role": "user"}]}, "messages", "messages[1] has the content None; it must be a text"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages", "messages[0] has the part 'x'; it must be"),
        (
            {"messages": [{"role": "user", "content": [IMAGE]}]},
            "messages",
            "'messages' has an image, and pipeline chat",
        ),
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
        {"tools": [{"type": "custom", "custom": {"name": "f"}}]},
        {"modalities": ["text", "audio"]},
        {"reasoning_effort": "low"},
        {"top_n_tokens": 2},
        {"return_full_text": True},
    ],
)
def test_what_would_change_the_answer_and_is_not_supported_is_refused(ask: Ask, fields: dict[str, Any]):
    with pytest.raises(UnsupportedField) as refused:
        ask(**fields)
    assert refused.value.param in fields


def test_messages_are_those_of_chat_templates(ask: Ask):
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": "b",
        "refusal": None,
        "annotations": [],
        "tool_calls": None,
        "name": "x",
    }
    parts = [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]
    query = ask(messages=[{"role": "developer", "content": "a"}, answer, {"role": "user", "content": parts}])
    assert query.inputs == [
        [
            {"role": "system", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c\nd"},
        ]
    ]


def test_images_are_for_pipelines_that_take_them(ask: Ask):
    content = [IMAGE, {"type": "text", "text": "What is it?"}]
    query = ask(task="image-text-to-text", messages=[{"role": "user", "content": content}])
    url = {"type": "image_url", "image_url": {"url": IMAGE["image_url"]["url"]}}  # type: ignore[index]
    assert query.inputs == [[{"role": "user", "content": [url, content[1]]}]]
    assert query.parameters == {}


@pytest.mark.parametrize("task", ["fill-mask", "summarization", "decision"])
def test_other_pipelines_answer_no_chats(ask: Ask, task: str):
    with pytest.raises(Invalid, match=f"Pipeline chat serves {task}; /v1/chat/completions needs one that answers"):
        ask(task=task)


def test_a_model_without_a_chat_template_answers_no_chats(ask: Ask):
    with pytest.raises(Invalid, match="has no chat template; send a text to /v1/completions"):
        ask(described={"chat": False})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    "messages",
    "prompt",
    "model",
    "n",
    "stop",
    "temperature",
    "seed",
    "logprobs",
    "stream_options",
    "tools",
    "echo",
]


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON, max_size=5), st.sampled_from([0, 1]))
def test_whatever_is_sent_is_read_or_refused(deployment: Any, head: Callable[..., Head], fields: Any, which: int):
    endpoint, right = ((ChatCompletions(), {"messages": CHAT}), (Completions(), {"prompt": "a"}))[which]
    with suppress(Invalid, Malformed, NotFound):
        query = endpoint.read(head(), json.dumps(right | fields).encode(), deployment)
        query.adapted(DESCRIPTION)


def test_chunks_hold_back_what_may_be_the_stop_sequence(ask: Ask):
    writer = ChatChunks(RequestContext(transport="http"), ask(stop="END", stream=True).state)
    generation = GenerationResult(given=CHAT, began=0.0)

    def told(text: str, *, last: bool = False) -> list[Any]:
        token = Token(1, len(generation.tokens), 0, text, 0.0)
        generation.take(token)
        generation.finish_reason = "stop_sequence"
        written = writer.finished(generation) if last else writer.token(token, generation)
        events = [json.loads(event.removeprefix("data: ")) for event in written.decode().split("\n\n")[:-1]]
        return [(event["choices"][0]["delta"], event["choices"][0]["finish_reason"]) for event in events]

    assert told("") == [({"role": "assistant", "content": ""}, None)]
    assert told("a E") == [({"content": "a "}, None)]
    assert told("N") == []
    assert told("D b", last=True) == [({}, "stop")]
