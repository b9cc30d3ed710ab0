"""The forms that one input of a task may have."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inference.errors import EmptyInput, Invalid
from inference.tasks.values import is_encodable, json_type

MESSAGE = '{"role": "user", "content": "a text"}'
MOST_MESSAGES = 1000
LONGEST_ROLE = 32
SENTENCES = '{"source_sentence": "a text", "sentences": ["a text", "another text"]}'
MOST_SENTENCES = 64


class Model(Protocol):
    """What inputs are checked against: a worker's ``Description``. ``longest_input`` is in tokens."""

    @property
    def mask_token(self) -> str: ...
    @property
    def chat(self) -> bool: ...
    @property
    def longest_input(self) -> int: ...
    @property
    def longest_input_chars(self) -> int: ...


def is_chat(value: Any) -> bool:
    """A list of chat messages, which is one input; any other list is a list of inputs."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return False
    return any("role" in item for item in value)


class InputForm(ABC):
    """What one input of a task looks like in JSON."""

    plain = True
    """A body of plain text can be an input."""
    masked = False
    """An input must contain the model's mask token."""
    chats = False
    """An input may be a chat, where the model has a chat template."""

    @abstractmethod
    def check(self, where: str, value: Any, model: Model) -> None:
        """Check what can be checked without a tokenizer; messages call the input ``where``.

        Raises:
            EmptyInput: nothing to work on.
            Invalid: not of this form, or too long for the model.
        """

    @abstractmethod
    def texts(self, value: Any) -> Sequence[str]:
        """All texts of a valid input."""

    @abstractmethod
    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        """A valid input with ``change`` applied to each text that a person wrote."""

    def characters(self, value: Any) -> int:
        """Of all texts of a valid input."""
        return sum(map(len, self.texts(value)))


@dataclass(frozen=True)
class TextInput(InputForm):
    masked: bool = False

    def check(self, where: str, value: Any, model: Model) -> None:
        if is_chat(value):
            raise Invalid(f"{where} is a list of messages, but this task has no chats; it must be a text.")
        _check_text(where, value, model)
        if self.masked and model.mask_token and model.mask_token not in value:
            raise Invalid(f"{where} has no {model.mask_token}; put one where a word is to be filled in.")

    def texts(self, value: Any) -> Sequence[str]:
        return [value]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        return change(value)


@dataclass(frozen=True)
class ChatOrTextInput(InputForm):
    """A text, or a list of messages such as ``MESSAGE``."""

    chats = True

    def check(self, where: str, value: Any, model: Model) -> None:
        if not is_chat(value):
            _check_text(where, value, model)
        elif model.chat:
            _check_chat(where, value, model)
        else:
            raise Invalid(f"{where} is a list of messages, but this model has no chat template; it must be a text.")

    def texts(self, value: Any) -> Sequence[str]:
        return [value] if isinstance(value, str) else [text for message in value for text in message.values()]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        if isinstance(value, str):
            return change(value)
        return [message | {"content": change(message["content"])} for message in value]


@dataclass(frozen=True)
class SentencesInput(InputForm):
    """A sentence and others to compare with it, such as ``SENTENCES``. Each may be as long as a text."""

    plain = False

    def check(self, where: str, value: Any, model: Model) -> None:
        if not isinstance(value, dict):
            raise Invalid(f"{where} is {json_type(value)}; it must be an object such as {SENTENCES}.")
        if value.keys() != {"source_sentence", "sentences"}:
            raise Invalid(f"{where} is not like {SENTENCES}; send just these two fields.")
        sentences = value["sentences"]
        if not isinstance(sentences, list):
            raise Invalid(f"{where} has sentences that are {json_type(sentences)}; they must be a list of texts.")
        if not sentences:
            raise EmptyInput(f"{where} has no sentences; send at least one.")
        if len(sentences) > MOST_SENTENCES:
            raise Invalid(f"{where} has {len(sentences)} sentences; it may have {MOST_SENTENCES}.")
        place = where[0].lower() + where[1:]
        _check_text(f"The source_sentence of {place}", value["source_sentence"], model)
        for number, sentence in enumerate(sentences):
            _check_text(f"sentences[{number}] of {place}", sentence, model)

    def texts(self, value: Any) -> Sequence[str]:
        """The source sentence comes first."""
        return [value["source_sentence"], *value["sentences"]]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        return {"source_sentence": change(value["source_sentence"]), "sentences": [*map(change, value["sentences"])]}


def _check_text(where: str, text: Any, model: Model) -> None:
    if not isinstance(text, str):
        raise Invalid(f"{where} is {json_type(text)}; it must be a text.")
    if not text.strip():
        raise EmptyInput(f"{where} is empty; send a text.")
    _check_characters(where, [text], model)


def _check_chat(where: str, chat: list[dict[str, Any]], model: Model) -> None:
    if len(chat) > MOST_MESSAGES:
        raise Invalid(f"{where} has {len(chat)} messages; it may have {MOST_MESSAGES}.")
    for number, message in enumerate(chat):
        role, content = message.get("role"), message.get("content")
        if len(message) != 2 or not isinstance(role, str) or not isinstance(content, str):
            raise Invalid(f"{where} has a message {number} that is not like {MESSAGE}; send just these two fields.")
        if not 0 < len(role) <= LONGEST_ROLE:
            raise Invalid(
                f"{where} has a message {number} with a role of {len(role)} characters; 1 to {LONGEST_ROLE} are right."
            )
    if not any(message["content"].strip() for message in chat):
        raise EmptyInput(f"{where} has no message with a content; send a text.")
    _check_characters(where, [text for message in chat for text in message.values()], model)


def _check_characters(where: str, texts: Sequence[str], model: Model) -> None:
    size = sum(map(len, texts))
    if size > model.longest_input_chars:
        raise Invalid(
            f"{where} has {size} characters; this model takes {model.longest_input} tokens, "
            f"which are never more than {model.longest_input_chars} characters."
        )
    if not all(map(is_encodable, texts)):
        raise Invalid(f"{where} has half of a surrogate pair in it, which is no character; send whole ones.")
