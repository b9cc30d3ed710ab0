"""Tools, and their calls in texts."""

import json
from typing import Any

import jsonschema
import pytest

from inference.api.dialects.openai.calls import Held, parsed
from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.messages import read_messages
from inference.api.dialects.openai.tools import read_tools
from inference.tasks.grammars import Grammar

NODE = {"type": "object", "properties": {"next": {"$ref": "#"}, "kind": {"$ref": "#/$defs/Kind"}}, "required": ["kind"]}
PARAMETERS = NODE | {"$defs": {"Kind": {"enum": ["a", "b"]}}}
F: dict[str, Any] = {"type": "function", "function": {"name": "f", "description": "d", "parameters": PARAMETERS}}
G: dict[str, Any] = {"type": "function", "function": {"name": "g"}}
BOTH = {"tools": [F, G]}
CALL = '{"name": "f", "arguments": {"x": 1}}'
CALLED = {"name": "f", "arguments": '{"x":1}'}


@pytest.mark.parametrize(
    ("choice", "must"),
    [(None, ()), ("auto", ()), ("required", ("f", "g")), ({"type": "function", "function": {"name": "g"}}, ("g",))],
)
def test_what_must_be_called(choice: Any, must: tuple[str, ...]) -> None:
    tools = read_tools(BOTH | ({"tool_choice": choice} if choice else {}))

    assert tools is not None
    assert (tools.functions, tools.must) == ([F, G], must)
    if must:
        grammar = tools.grammar()
        assert Grammar().accepts(grammar)
        valid = jsonschema.Draft202012Validator(grammar["value"]).is_valid
        deep = {"kind": "a", "next": {"kind": "b"}}
        assert valid({"name": "f", "arguments": deep}) == ("f" in must)
        assert not valid({"name": "f", "arguments": {"kind": "a", "next": {"kind": "c"}}})
        assert valid({"name": "g", "arguments": {"anything": 1}})
        assert not valid({"name": "h", "arguments": {}})


def test_nothing_is_called_unless_it_may_be() -> None:
    assert read_tools({}) is None
    assert read_tools({"tools": []}) is None
    assert read_tools(BOTH | {"tool_choice": "none"}) is None


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"tools": {}}, "tools", "'tools' is {}; it must be a list of at most 128"),
        ({"tools": [1]}, "tools", "tools[0] is 1; it must be like"),
        ({"tools": [F, {"type": "function", "function": {}}]}, "tools", "tools[1] is"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools", "tools[0] is"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}, "tools", "tools[0] is"),
        ({"tools": [{"type": "web_search"}]}, "tools", "tools[0] has the type 'web_search'; only functions"),
        ({"tools": [F, F]}, "tools", "'tools' has two functions of the same name"),
        ({"tool_choice": "required"}, "tool_choice", "'tool_choice' is 'required', but there are no 'tools'"),
        (BOTH | {"tool_choice": "f"}, "tool_choice", "'tool_choice' is 'f'; it must be one of none, auto, required"),
        (BOTH | {"tool_choice": {"type": "function", "function": {"name": "h"}}}, "tool_choice", "'tool_choice' is {"),
    ],
)
def test_other_tools_are_refused(fields: dict[str, Any], param: str, sentence: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read_tools(fields)
    assert (refused.value.param, refused.value.message[: len(sentence)]) == (param, sentence)


@pytest.mark.parametrize(
    ("text", "content", "functions"),
    [
        ("hello", "hello", []),
        (CALL, "", [CALLED]),
        (f" [{CALL}, {CALL}]\n", "", [CALLED, CALLED]),
        (CALL.replace("arguments", "parameters"), "", [CALLED]),
        (f"Let me see. <tool_call>\n{CALL}\n</tool_call>\n<tool_call>{CALL}", "Let me see.", [CALLED, CALLED]),
        ('{"name": "other", "arguments": {}}', '{"name": "other", "arguments": {}}', []),
        ('{"name": "f", "arguments": 3}', '{"name": "f", "arguments": 3}', []),
        ('{"x": 1}', '{"x": 1}', []),
        ("[]", "[]", []),
        ("[" * 5000, "[" * 5000, []),
        ('<tool_call>{"name": "f", "argu', '<tool_call>{"name": "f", "argu', []),
        (f"<tool_call>{CALL}</tool_call><tool_call>3", f"<tool_call>{CALL}</tool_call><tool_call>3", []),
    ],
    ids=[str(number) for number in range(12)],
)
def test_calls_are_found(text: str, content: str, functions: list[Any]) -> None:
    found, calls = parsed(text, {"f"}, "call_")

    assert (found, [call["function"] for call in calls]) == (content, functions)
    assert [call["id"] for call in calls] == [f"call_{n}" for n in range(len(calls))]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("once <b>upon</b> a time <tool", "once <b>upon</b> a time "),
        (f"so <tool_call>{CALL}", "so "),
        (f" \n{CALL}", ""),
        ("[1]", ""),
        ("a {", "a {"),
    ],
)
def test_what_is_no_call_is_not_held_back(text: str, free: str, size: int) -> None:
    held = Held()

    sent = "".join(held.push(text[n : n + size]) for n in range(0, len(text), size))

    assert sent == free
    assert sent + held.rest == text


def test_messages_call_and_answer() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "b"}]},
    ]

    _, calling, answer = read_messages({"messages": messages})

    assert calling["content"] == ""
    assert calling["tool_calls"][0] == call | {"function": {"name": "f", "arguments": {"x": 1}}}
    assert answer["tool_call_id"] == "c1"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "tool_calls": "x"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "["}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "3"}}]},
        {"role": "assistant", "tool_calls": [{"id": 5, "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": 5, "content": "x"},
    ],
    ids=json.dumps,
)
def test_other_calls_are_refused(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidField, match=r"tool.call"):
        read_messages({"messages": [message]})
