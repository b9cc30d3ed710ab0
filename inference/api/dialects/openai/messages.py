"""The messages of a chat."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.openai.fields import Fields, required, shown

EXAMPLE = '{"messages": [{"role": "user", "content": "a text"}]}'
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""Roles of OpenAI's, and what chat templates call them."""
ROLES_OF_CHATS = ROLES | {"tool": "tool"}
PARTS = '{"type": "text", "text": "a text"} or {"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}'
CALL = '{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}'
BETWEEN_PARTS = "\n"

_USED = ("role", "content", "name")
"""``name`` is accepted: few templates know it."""
_OF_TOOLS = ("tool_calls", "tool_call_id")


def read_messages(fields: Fields) -> list[dict[str, Any]]:
    """Each with a role and a content, a text or a list of parts. Raises ``InvalidField``."""
    messages = required(fields, "messages", EXAMPLE)
    if not isinstance(messages, list) or not messages:
        raise InvalidField("messages", f"'messages' is {shown(messages)}; send a list such as in {EXAMPLE}.")
    return [_message(f"messages[{number}]", message) for number, message in enumerate(messages)]


def only_texts(messages: list[dict[str, Any]], pipeline: str, field: str = "messages") -> list[dict[str, Any]]:
    """With a text as each content. Raises ``InvalidField`` for an image; ``field`` has the messages."""
    return [message | {"content": _text(message["content"], pipeline, field)} for message in messages]


def _message(where: str, message: Any) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise InvalidField("messages", f"{where} is {shown(message)}; it must be like a message in {EXAMPLE}.")
    for name, value in message.items():
        if name not in _USED + _OF_TOOLS and value not in (
            None,
            [],
            "",
        ):  # a message of an answer has fields that are empty
            raise UnsupportedField(
                "messages", f"{where} has {name[:60]!r}, which is not supported; send 'role' and 'content'."
            )
    role, content, calling = message.get("role"), message.get("content"), _calling(where, message)
    if content is None and "tool_calls" in calling:
        content = ""
    if not isinstance(role, str) or role not in ROLES_OF_CHATS:
        raise InvalidField(
            "messages", f"{where} has the role {shown(role)}; it must be one of {', '.join(ROLES_OF_CHATS)}."
        )
    if isinstance(content, list):
        return {"role": ROLES_OF_CHATS[role], "content": [_part(where, part) for part in content]} | calling
    if not isinstance(content, str):
        raise InvalidField("messages", f"{where} has the content {shown(content)}; it must be a text or a list.")
    return {"role": ROLES_OF_CHATS[role], "content": content} | calling


def _calling(where: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by which messages call tools and answer, as chat templates take them: arguments are objects there."""
    made: dict[str, Any] = {}
    if (answered := message.get("tool_call_id")) is not None:
        if not isinstance(answered, str):
            raise InvalidField("messages", f"{where} has the tool_call_id {shown(answered)}; it must be a text.")
        made["tool_call_id"] = answered
        if isinstance(name := message.get("name"), str):
            made["name"] = name
    if calls := message.get("tool_calls"):
        if not isinstance(calls, list):
            raise InvalidField("messages", f"{where} has the tool_calls {shown(calls)}; they must be a list.")
        made["tool_calls"] = [_call(where, call) for call in calls]
    return made


def _call(where: str, call: Any) -> dict[str, Any]:
    match call:
        case {"function": {"name": str(name), "arguments": str(written)}, **more}:
            with suppress(ValueError, RecursionError):
                arguments = msgspec.json.decode(written or "{}")
                if isinstance(arguments, dict) and isinstance(own := more.get("id", ""), str):
                    return {"type": "function", "id": own, "function": {"name": name, "arguments": arguments}}
    raise InvalidField("messages", f"{where} has the tool call {shown(call)}; it must be like {CALL}.")


def _part(where: str, part: Any) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return {"type": "image_url", "image_url": {"url": url}}
    raise InvalidField("messages", f"{where} has the part {shown(part)}; it must be like {PARTS}.")


def _text(content: str | list[dict[str, Any]], pipeline: str, field: str) -> str:
    if isinstance(content, str):
        return content
    if any(part["type"] != "text" for part in content):
        raise InvalidField(field, f"'{field}' has an image, and pipeline {pipeline} takes only texts.")
    return BETWEEN_PARTS.join(part["text"] for part in content)
