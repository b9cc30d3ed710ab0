"""A chat whose messages may call tools."""

from collections.abc import Callable, Iterator
from typing import Any

from inference.errors import Invalid
from inference.tasks.grammars import is_sendable, walk
from inference.tasks.inputs.base import Model, check_characters, check_fields
from inference.tasks.schemas import Schema, fields, items

EXAMPLE = (
    '{"messages": [{"role": "user", "content": "a text"}], '
    '"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}'
)
CALL = '{"type": "function", "function": {"name": "f", "arguments": {}}}'
MOST_TOOLS = 128
MOST_VALUES = 10_000
DEEPEST = 64

_TEXTS = {"role": str, "content": str, "name": str, "tool_call_id": str}


def is_tool_chat(value: Any) -> bool:
    return isinstance(value, dict) and "messages" in value


def check_tool_chat(where: str, value: dict[str, Any], model: Model, most_messages: int, *, cut: bool) -> None:
    """Raises ``Invalid``."""
    check_fields(where, value, ("messages", "tools"), EXAMPLE)
    if not model.chat:
        raise Invalid(f"{where} has messages, but this model has no chat template; it must be a text.")
    messages = _list(where, value, "messages", 1, most_messages)
    tools = _list(where, value, "tools", 0, MOST_TOOLS)
    for values, (level, part) in enumerate(walk(value)):
        if values > MOST_VALUES or level > DEEPEST or not is_sendable(part):
            raise Invalid(f"{where} has messages and tools of more than {MOST_VALUES} values or {DEEPEST} levels.")
    for number, message in enumerate(messages):
        if not _is_message(message):
            raise Invalid(f"{where} has a message {number} that is not like those of {EXAMPLE}, or calls like {CALL}.")
    for number, tool in enumerate(tools):
        if not _is_function(tool, {"description": str, "parameters": dict}):
            raise Invalid(f"{where} has a tool {number} that is not like that of {EXAMPLE}.")
    check_characters(where, [*texts(value)], model, cut=cut)


def _list(where: str, value: dict[str, Any], field: str, least: int, most: int) -> list[Any]:
    found = value[field]
    if not isinstance(found, list) or not least <= len(found) <= most:
        raise Invalid(f"{where} has {field} that are not right; send a list of {least} to {most}.")
    return found


def texts(value: Any) -> Iterator[str]:
    """All that a chat template may write: names as well."""
    for _, part in walk(value):
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            yield from part


def changed(value: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    return value | {"messages": [message | {"content": change(message["content"])} for message in value["messages"]]}


def schema() -> Schema:
    message = {"type": "object", "properties": {name: {"type": "string"} for name in _TEXTS}, "required": ["role"]}
    return fields(messages=items(message, 1), tools=items({"type": "object"}, 0, MOST_TOOLS))


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        return False
    calls = message.get("tool_calls", [])
    return (
        message.keys() <= _TEXTS.keys() | {"tool_calls"}
        and all(isinstance(message.get(name, ""), str) for name in _TEXTS)
        and isinstance(calls, list)
        and all(_is_function(call, {"arguments": dict}) and "arguments" in call["function"] for call in calls)
    )


def _is_function(value: Any, more: dict[str, type]) -> bool:
    match value:
        case {"type": "function", "function": {"name": str(name), **described}}:
            return (
                bool(name)
                and value.keys() <= {"type", "function", "id"}
                and isinstance(value.get("id", ""), str)
                and described.keys() <= more.keys()
                and all(isinstance(part, more[str(key)]) for key, part in described.items())
            )
    return False
