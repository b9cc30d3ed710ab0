"""A text, or two texts that are read together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inference.tasks.inputs.base import InputForm, Model, check_fields, check_text, part_of
from inference.tasks.inputs.text import TextInput
from inference.tasks.schemas import TEXT, Schema, fields, one_of

PAIR = '{"text": "a text", "text_pair": "another text"}'
FIELDS = ("text", "text_pair")


@dataclass(frozen=True)
class TextOrPairInput(InputForm):
    """A text, or a pair such as ``PAIR``."""

    form = "pair"

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        if not isinstance(value, dict):
            return TextInput().checked(where, value, model, cut=cut)
        check_fields(where, value, FIELDS, PAIR)
        for name in FIELDS:
            check_text(f"The {name} of {part_of(where)}", value[name], model, cut=cut)
        return value

    def schema(self) -> Schema:
        return one_of(TEXT, fields(text=TEXT, text_pair=TEXT))

    def texts(self, value: Any) -> Sequence[str]:
        return [value] if isinstance(value, str) else [value[name] for name in FIELDS]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        return change(value) if isinstance(value, str) else {name: change(value[name]) for name in FIELDS}
