"""The messages of a chat."""

from collections.abc import Mapping
from typing import Any

from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.openai.fields import Fields, required, shown

EXAMPLE = '{"messages": [{"role": "user", "content": "a text"}]}'
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""Roles of OpenAI's, and what chat templates call them."""
PARTS = '{"type": "text", "text": "a text"} or {"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}'
BETWEEN_PARTS = "\n"

_USED = ("role", "content", "name")
"""``name`` is accepted: few templates know it."""


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
        if name not in _USED and value not in (None, [], ""):  # a message of an answer has fields that are empty
            raise UnsupportedField(
                "messages", f"{where} has {name[:60]!r}, which is not supported; send 'role' and 'content'."
            )
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidField("messages", f"{where} has the role {shown(role)}; it must be one of {', '.join(ROLES)}.")
    if isinstance(content, list):
        return {"role": ROLES[role], "content": [_part(where, part) for part in content]}
    if not isinstance(content, str):
        raise InvalidField("messages", f"{where} has the content {shown(content)}; it must be a text or a list.")
    return {"role": ROLES[role], "content": content}


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
