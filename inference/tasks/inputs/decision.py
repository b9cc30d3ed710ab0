"""A state, and questions about it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs.base import InputForm, Model, check_characters, check_fields, part_of
from inference.tasks.schemas import Schema, fields, items, one_of
from inference.tasks.values import json_type

QUESTION = '{"type": "noul", "instructions": "Is a refund requested?"}'
DECISION = f'{{"state": "a text", "questions": {{"refund": {QUESTION}}}}}'
TYPES = ("choice", "score", "noul")
MOST_QUESTIONS = 32


@dataclass(frozen=True)
class DecisionInput(InputForm):
    """Such as ``DECISION``; the state is any JSON value.

    Source: the System One API, as ``transformers.decision`` has it.
    """

    form = "decision"
    plain = False

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        check_fields(where, value, ("state", "questions"), DECISION)
        questions = value["questions"]
        if not isinstance(questions, dict):
            raise Invalid(f"{where} has questions that are {json_type(questions)}; they must be an object by name.")
        if not questions:
            raise EmptyInput(f"{where} has no questions; send at least one.")
        if len(questions) > MOST_QUESTIONS:
            raise Invalid(f"{where} has {len(questions)} questions; it may have {MOST_QUESTIONS}.")
        for name, question in questions.items():
            if not isinstance(question, dict) or question.get("type") not in TYPES:
                raise Invalid(
                    f"The question {name[:60]!r} of {part_of(where)} must be an object such as {QUESTION}; "
                    f"its type is one of {', '.join(TYPES)}."
                )
        try:
            check_characters(where, [json.dumps(value, ensure_ascii=False)], model, cut=cut)
        except RecursionError:
            raise Invalid(f"{where} is nested too deeply.") from None
        return value

    def schema(self) -> Schema:
        content = one_of({"type": "string"}, {"type": "object"}, {"type": "array"})
        options = {"type": "object", "additionalProperties": one_of(content, {"type": "null"})}
        question = one_of(
            fields("instructions", type={"const": "choice"}, instructions=content, criteria=options),
            fields("instructions", type={"const": "score"}, instructions=content, criteria=items(content, 1)),
            fields("instructions", "criteria", type={"const": "noul"}, instructions=content, criteria=options),
        )
        questions = {"type": "object", "additionalProperties": question, "maxProperties": MOST_QUESTIONS}
        return fields(state={}, questions=questions | {"minProperties": 1})

    def texts(self, value: Any) -> Sequence[str]:
        """None: a worker makes prompts of it."""
        return []

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        state = value["state"]
        return value | {"state": change(state)} if isinstance(state, str) else value
