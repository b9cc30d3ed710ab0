"""A question, and the text that has its answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import Invalid
from inference.tasks.inputs.base import InputForm, Model, check_fields, check_text, part_of
from inference.tasks.schemas import TEXT, Schema, fields

QUESTION = '{"question": "a text", "context": "a text"}'
FIELDS = ("question", "context")
LONGEST_CONTEXT = 1_000_000
"""Characters. Models read it in windows, so it may be longer than they take."""


@dataclass(frozen=True)
class QuestionInput(InputForm):
    """Such as ``QUESTION``."""

    form = "question"
    plain = False

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        check_fields(where, value, FIELDS, QUESTION)
        question, context = (f"The {name} of {part_of(where)}" for name in FIELDS)
        check_text(question, value["question"], model)
        check_text(context, value["context"], model, cut=True)
        if (size := len(value["context"])) > LONGEST_CONTEXT:
            raise Invalid(f"{context} has {size} characters; it may have {LONGEST_CONTEXT}.")
        return value

    def schema(self) -> Schema:
        return fields(question=TEXT, context=TEXT | {"maxLength": LONGEST_CONTEXT})

    def texts(self, value: Any) -> Sequence[str]:
        return [value[name] for name in FIELDS]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        return {name: change(value[name]) for name in FIELDS}
