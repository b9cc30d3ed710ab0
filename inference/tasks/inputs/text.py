"""A text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import Invalid
from inference.tasks.inputs.base import InputForm, Model, check_text
from inference.tasks.inputs.chat import is_chat
from inference.tasks.schemas import TEXT, Schema


@dataclass(frozen=True)
class TextInput(InputForm):
    form = "text"
    masked: bool = False

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        if is_chat(value):
            raise Invalid(f"{where} is a list of messages, but this task has no chats; it must be a text.")
        check_text(where, value, model, cut=cut)
        if self.masked and model.mask_token and model.mask_token not in value:
            raise Invalid(f"{where} has no {model.mask_token}; put one where a word is to be filled in.")
        return value

    def schema(self) -> Schema:
        return TEXT

    def texts(self, value: Any) -> Sequence[str]:
        return [value]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        return change(value)
