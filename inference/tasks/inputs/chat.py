"""A text, or a list of chat messages, or a text that has been tokenised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs import tool_chat
from inference.tasks.inputs.base import InputForm, Model, check_characters, check_fields, check_text, part_of
from inference.tasks.schemas import TEXT, Schema, fields, items, one_of, text_schema
from inference.tasks.values import json_type

MESSAGE = '{"role": "user", "content": "a text"}'
TOKENISED = '{"token_ids": [5, 17]}'
MOST_MESSAGES = 1000
LONGEST_ROLE = 32
MOST_WORDS = 2**31
"""Of a vocabulary whose size is not known."""


def is_chat(value: Any) -> bool:
    """A list of chat messages, which is one input; any other list is a list of inputs."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return False
    return any("role" in item for item in value)


def token_ids(value: Any) -> list[int] | None:
    """Of a valid input such as ``TOKENISED``; ``None`` for all others."""
    return value.get("token_ids") if isinstance(value, dict) else None


@dataclass(frozen=True)
class ChatOrTextInput(InputForm):
    """A text, or a list of messages such as ``MESSAGE``, or an object such as ``TOKENISED``; or a chat with tools.

    Of token ids, the model reads just these, without special ones before them. The prompt in an answer is their text.
    """

    form = "chat"
    chats = True

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        if isinstance(value, dict) and "token_ids" in value:
            _check_token_ids(where, value, model)
        elif tool_chat.is_tool_chat(value):
            tool_chat.check_tool_chat(where, value, model, MOST_MESSAGES, cut=cut)
        elif not is_chat(value):
            check_text(where, value, model, cut=cut)
        elif model.chat:
            _check_chat(where, value, model, cut=cut)
        else:
            raise Invalid(f"{where} is a list of messages, but this model has no chat template; it must be a text.")
        return value

    def schema(self) -> Schema:
        message = fields(role=text_schema(LONGEST_ROLE), content={"type": "string"})
        tokenised = fields(token_ids=items({"type": "integer", "minimum": 0}, 1))
        return one_of(TEXT, items(message, 1, MOST_MESSAGES), tokenised, tool_chat.schema())

    def texts(self, value: Any) -> Sequence[str]:
        if isinstance(value, dict):
            return [*tool_chat.texts(value)] if tool_chat.is_tool_chat(value) else []
        return [value] if isinstance(value, str) else [text for message in value for text in message.values()]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, dict):
            return tool_chat.changed(value, change) if tool_chat.is_tool_chat(value) else value
        return [message | {"content": change(message["content"])} for message in value]


def _check_token_ids(where: str, value: dict[str, Any], model: Model) -> None:
    check_fields(where, value, ("token_ids",), TOKENISED)
    if not isinstance(ids := value["token_ids"], list):
        raise Invalid(f"The token_ids of {part_of(where)} are {json_type(ids)}; they must be a list of whole numbers.")
    if not ids:
        raise EmptyInput(f"{where} has no token_ids; send at least one.")
    if len(ids) > model.longest_input:
        raise Invalid(f"{where} has {len(ids)} tokens; this model takes at most {model.longest_input}.")
    last = (model.vocabulary or MOST_WORDS) - 1
    for number, token in enumerate(ids):
        if type(token) is not int or not 0 <= token <= last:
            shown = repr(token)[:20] if type(token) in (int, float) else json_type(token)
            raise Invalid(
                f"token_ids[{number}] of {part_of(where)} is {shown}; it must be a whole number from 0 to {last}."
            )


def _check_chat(where: str, chat: list[dict[str, Any]], model: Model, *, cut: bool) -> None:
    if len(chat) > MOST_MESSAGES:
        raise Invalid(f"{where} has {len(chat)} messages; it may have {MOST_MESSAGES}.")
    for number, message in enumerate(chat):
        role, content = message.get("role"), message.get("content")
        if len(message) != 2 or not isinstance(role, str) or not isinstance(content, str):
            raise Invalid(f"{where} has a message {number} that is not like {MESSAGE}; send just these fields.")
        if not 0 < len(role) <= LONGEST_ROLE:
            raise Invalid(
                f"{where} has a message {number} with a role of {len(role)} characters; 1 to {LONGEST_ROLE} are right."
            )
    if not any(message["content"].strip() for message in chat):
        raise EmptyInput(f"{where} has no message with a content; send a text.")
    check_characters(where, [text for message in chat for text in message.values()], model, cut=cut)
