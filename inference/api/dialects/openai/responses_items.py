"""The items of a response's input, as the messages of a chat."""

from collections.abc import Mapping, Sequence
from typing import Any

from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.openai.fields import Fields, shown
from inference.api.dialects.openai.responses_tools import read_call, read_output

EXAMPLE = '{"input": "a text"}'
ITEM = '{"type": "message", "role": "user", "content": "a text"}'
PARTS = '{"type": "input_text", "text": "a text"} or {"type": "input_image", "image_url": "data:image/png;base64,…"}'

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""Roles of messages, and what chat templates call them."""
_USED = ("type", "role", "content", "id", "status", "phase")
"""The last three belong to items of answers that come back; they say nothing to a model."""

Messages = list[dict[str, Any]]


def read_items(fields: Fields, before: Sequence[dict[str, Any]] = ()) -> Messages:
    """The messages before and those of the input. A text counts as one of the user. Raises ``InvalidField``."""
    messages = list(before)
    given = fields.get("input", [])
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    if not isinstance(given, list):
        raise InvalidField("input", f"'input' is {shown(given)}; it must be a text, or a list of items such as {ITEM}.")
    for number, item in enumerate(given):
        _add(messages, f"input[{number}]", item)
    return messages


def _add(messages: Messages, where: str, item: Any) -> None:
    """Calls of one answer are in one message."""
    match item:
        case {"type": "function_call"}:
            made = read_call(where, item)
            if messages and messages[-1]["role"] == "assistant":
                last = messages.pop()
                made = last | {"tool_calls": [*last.get("tool_calls", ()), *made["tool_calls"]]}
            messages.append(made)
        case {"type": "function_call_output"}:
            messages.append(read_output(where, item, messages))
        case _:
            messages.append(_message(where, item))


def _message(where: str, item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise InvalidField("input", f"{where} is {shown(item)}; it must be an item such as {ITEM}.")
    if (kind := item.get("type", "message")) != "message":
        raise UnsupportedField(
            "input",
            f"{where} has the type {shown(kind)}; only messages, function_call and function_call_output are read.",
        )
    for name, value in item.items():
        if name not in _USED and value not in (None, [], ""):
            raise UnsupportedField(
                "input", f"{where} has {name[:60]!r}, which is not supported; send 'type', 'role' and 'content'."
            )
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidField("input", f"{where} has the role {shown(role)}; it must be one of {', '.join(ROLES)}.")
    if isinstance(content, list):
        return {"role": ROLES[role], "content": [_part(where, part) for part in content]}
    if not isinstance(content, str):
        raise InvalidField("input", f"{where} has the content {shown(content)}; it must be a text or a list.")
    return {"role": ROLES[role], "content": content}


def _part(where: str, part: Any) -> dict[str, Any]:
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)} | {
            "type": "refusal",
            "refusal": str(text),
        }:
            return {"type": "text", "text": text}
        case {"type": "input_image", "image_url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url}}
    raise InvalidField("input", f"{where} has the part {shown(part)}; it must be like {PARTS}.")
