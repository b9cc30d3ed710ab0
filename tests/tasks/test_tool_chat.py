"""Chats with tools as inputs."""

from typing import Any

import pytest

from inference.errors import Invalid
from inference.tasks.inputs import ChatOrTextInput
from tests.serving.test_validation import describe

FORM = ChatOrTextInput()
CALLS = [{"type": "function", "id": "1", "function": {"name": "f", "arguments": {"x": [1]}}}]
MESSAGES = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "", "tool_calls": CALLS},
    {"role": "tool", "content": "b", "tool_call_id": "1", "name": "f"},
]
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
}


def check(value: Any, **model: Any) -> Any:
    return FORM.checked(
        "The input", value, describe("text-generation", **{"chat": True, "longest_input_chars": 200} | model)
    )


def test_a_chat_with_tools_is_taken_as_it_is() -> None:
    for tools in ([], [TOOL]):
        value = {"messages": MESSAGES, "tools": tools}
        assert check(value) == value
    assert {"a", "b", "d", "parameters"} <= {*FORM.texts(value)}
    changed = FORM.changed(value, str.upper)
    assert [message["content"] for message in changed["messages"]] == ["A", "", "B"]


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return {"type": "function", "function": {"name": "f", "parameters": schema}}


@pytest.mark.parametrize(
    ("messages", "tools", "sentence"),
    [
        (MESSAGES, {}, "tools that are not right; send a list of 0 to 128"),
        ([], [], "messages that are not right; send a list of 1 to 1000"),
        (["a"], [], "a message 0 that is not like"),
        ([{"role": "user"}], [], "a message 0"),
        ([{"role": "user", "content": None}], [], "a message 0"),
        ([{"role": "user", "content": "a", "more": 1}], [], "a message 0"),
        ([*MESSAGES, {"role": "assistant", "content": "", "tool_calls": [1]}], [], "a message 3"),
        ([{"role": "assistant", "content": "", "tool_calls": [TOOL]}], [], "a message 0"),
        (MESSAGES, [1], "a tool 0 that is not like"),
        (MESSAGES, [TOOL, CALLS[0]], "a tool 1"),
        (MESSAGES, [nested(70)], "more than 10000 values or 64 levels"),
        (MESSAGES, [{"type": "function", "function": {"name": "\ud800"}}], "more than"),
        (MESSAGES, [TOOL] * 20, "characters; this model takes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_others_are_refused(messages: Any, tools: Any, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        check({"messages": messages, "tools": tools})
    assert sentence in refused.value.message


def test_a_model_without_a_chat_template() -> None:
    with pytest.raises(Invalid, match="no chat template"):
        check({"messages": MESSAGES, "tools": []}, chat=False)
    with pytest.raises(Invalid, match="send just these fields"):
        check({"messages": MESSAGES})
