"""What all forms of inputs have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from inference.errors import EmptyInput, Invalid, Malformed
from inference.tasks.media import Media
from inference.tasks.schemas import Schema
from inference.tasks.values import is_encodable, json_type


class Model(Protocol):
    """What inputs are checked against: a worker's ``Description``. ``longest_input`` is in tokens."""

    @property
    def mask_token(self) -> str: ...
    @property
    def vocabulary(self) -> int: ...
    @property
    def chat(self) -> bool: ...
    @property
    def longest_input(self) -> int: ...
    @property
    def longest_input_chars(self) -> int: ...


class InputForm(ABC):
    """What one input of a task looks like in JSON."""

    form = "json"
    """What pages have a form for; any other input is written as JSON."""
    plain = True
    """A body of plain text can be an input."""
    masked = False
    """An input must contain the model's mask token."""
    chats = False
    """An input may be a chat, where the model has a chat template."""
    media = False
    """An input is an image or a recording, or has one."""

    @abstractmethod
    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        """The input as workers get it, as far as it can be checked without a tokenizer.

        Args:
            where: what messages call the input.
            cut: what is too long for the model will be cut by its tokenizer, so length is not checked.

        Raises:
            EmptyInput: nothing to work on.
            Invalid: not of this form, or too long for the model.
        """

    @abstractmethod
    def schema(self) -> Schema:
        """Of one input in JSON, as far as JSON Schema can say it."""

    @abstractmethod
    def texts(self, value: Any) -> Sequence[str]:
        """All texts of a valid input."""

    @abstractmethod
    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        """A valid input with ``change`` applied to each text that a person wrote."""

    def shown(self, value: Any) -> Any:
        """An input, valid or not, for the log: without the bytes of media."""
        return value


def check_text(where: str, text: Any, model: Model, *, cut: bool = False) -> None:
    """Raises ``EmptyInput``; ``Invalid`` for anything but a text that the model may be able to take; ``Malformed``."""
    if isinstance(text, Media):
        if text.type:
            raise Invalid(f"{where} is {text.type}; it must be a text.")
        check_utf8(text.data)
    if not isinstance(text, str):
        raise Invalid(f"{where} is {json_type(text)}; it must be a text.")
    if not text.strip():
        raise EmptyInput(f"{where} is empty; send a text.")
    check_characters(where, [text], model, cut=cut)


def check_utf8(data: bytes) -> None:
    """Raises ``Malformed``."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}.") from None


def check_characters(where: str, texts: Sequence[str], model: Model, *, cut: bool = False) -> None:
    """Raises ``Invalid`` for texts that together are too long or cannot be encoded."""
    size = sum(map(len, texts))
    if size > model.longest_input_chars and not cut:
        raise Invalid(
            f"{where} has {size} characters; this model takes {model.longest_input} tokens, "
            f"which are never more than {model.longest_input_chars} characters."
        )
    if not all(map(is_encodable, texts)):
        raise Invalid(f"{where} has half of a surrogate pair in it, which is no character; send whole ones.")


def check_fields(where: str, value: Any, fields: Sequence[str], example: str) -> None:
    """Raises ``Invalid`` for anything but an object with just these fields."""
    if not isinstance(value, dict):
        raise Invalid(f"{where} is {json_type(value)}; it must be an object such as {example}.")
    if value.keys() != set(fields):
        raise Invalid(f"{where} is not like {example}; send just these fields.")


def part_of(where: str) -> str:
    """``where`` within a sentence."""
    return where[0].lower() + where[1:]
