"""Tools of responses, which have one level less than those of chats, and their calls as items."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.fields import Fields, shown
from inference.api.dialects.openai.tools import Tools, read_tools

CALL = '{"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}'
OUTPUT = '{"type": "function_call_output", "call_id": "call_1", "output": "a text"}'
OF_FUNCTIONS = ("name", "description", "parameters")


def tools_of(fields: Fields) -> Tools | None:
    """``None`` where nothing may be called. Raises as ``read_tools``."""
    tools, choice = fields.get("tools", []), fields.get("tool_choice", "auto")
    if isinstance(tools, list):
        tools = [_as_chats_have_it(tool) for tool in tools]
    return read_tools({"tools": tools, "tool_choice": _as_chats_have_it(choice)})


def told_tools(tools: Tools | None) -> list[dict[str, Any]]:
    """As a response has them."""
    absent = {"description": None, "parameters": None, "strict": False}
    return [{"type": "function"} | absent | each["function"] for each in (tools.functions if tools else ())]


def _as_chats_have_it(tool: Any) -> Any:
    if isinstance(tool, dict) and tool.get("type") == "function" and "function" not in tool:
        return {"type": "function", "function": {name: tool[name] for name in OF_FUNCTIONS if name in tool}}
    return tool


def read_call(where: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """A message that calls a tool; chat templates take the arguments as an object. Raises ``InvalidField``."""
    match item:
        case {"call_id": str(call_id), "name": str(name), "arguments": str(written)}:
            with suppress(ValueError, RecursionError):
                return _message("", [_call(call_id, name, msgspec.json.decode(written, type=dict[str, Any]))])
    raise InvalidField("input", f"{where} is {shown(item)}; it must be like {CALL}.")


def read_output(where: str, item: Mapping[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """A message of a tool that one of the messages before it calls. Raises ``InvalidField``."""
    match item:
        case {"call_id": str(call_id), "output": str(text)}:
            calls = [each for message in messages for each in message.get("tool_calls", ())]
            for each in calls:
                if each["id"] == call_id:
                    return {"role": "tool", "tool_call_id": call_id, "name": each["function"]["name"], "content": text}
            raise InvalidField(
                "input", f"{where} answers {call_id[:60]!r}; no function_call before it has that call_id."
            )
    raise InvalidField("input", f"{where} is {shown(item)}; it must be like {OUTPUT}.")


def said(text: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    """A message of the model with what it called, whose arguments are written as JSON."""
    made = [
        _call(each["id"], each["function"]["name"], msgspec.json.decode(each["function"]["arguments"]))
        for each in calls
    ]
    return _message(text, made)


def _call(call_id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _message(text: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})
