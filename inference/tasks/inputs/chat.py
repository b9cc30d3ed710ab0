"""A text, or a list of chat messages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs.base import InputForm, Model, check_characters, check_text
from inference.tasks.schemas import TEXT, Schema, fields, items, one_of, text_schema

MESSAGE = '{"role": "user", "content": "a text"}'
MOST_MESSAGES = 1000
LONGEST_ROLE = 32


def is_chat(value: Any) -> bool:
    """A list of chat messages, which is one input; any other list is a list of inputs."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return False
    return any("role" in item for item in value)


@dataclass(frozen=True)
class ChatOrTextInput(InputForm):
    """A text, or a list of messages such as ``MESSAGE``."""

    chats = True

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        if not is_chat(value):
            check_text(where, value, model, cut=cut)
        elif model.chat:
            _check_chat(where, value, model, cut=cut)
        else:
            raise Invalid(f"{where} is a list of messages, but this model has no chat template; it must be a text.")
        return value

    def schema(self) -> Schema:
        message = fields(role=text_schema(LONGEST_ROLE), content={"type": "string"})
        return one_of(TEXT, items(message, 1, MOST_MESSAGES))

    def texts(self, value: Any) -> Sequence[str]:
        return [value] if isinstance(value, str) else [text for message in value for text in message.values()]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        if isinstance(value, str):
            return change(value)
        return [message | {"content": change(message["content"])} for message in value]


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
