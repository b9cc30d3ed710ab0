"""``response_format``, and the format of a response's ``text``: the grammar that an answer follows."""

from typing import Any

from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.openai.fields import Fields, shown
from inference.tasks.base import Task

FIELD, PARAMETER = "response_format", "grammar"
EXAMPLE = '{"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}'


def read_format(fields: Fields, task: Task, field: str = FIELD, example: str = EXAMPLE) -> dict[str, Any]:
    """The parameter that the field means, if it means one.

    ``huggingface_hub`` and text-generation-inference have the schema in ``value``, other servers in ``schema``.

    Raises:
        InvalidField: not like ``example``, or beyond the bounds of the parameter.
        UnsupportedField: texts of this task follow no grammar.
    """
    given = fields.get(field)
    match given:
        case None | {"type": "text"}:
            return {}
        case (
            {"type": "json_schema", "json_schema": {"schema": dict(schema)}}
            | {"type": "json_object" | "json" | "json_schema", "value": dict(schema)}
            | {"type": "json_object", "schema": dict(schema)}
        ):
            grammar = {"type": "json", "value": schema}
        case {"type": "json_object"} if len(given) == 1:
            grammar = {"type": "json_object"}
        case {"type": "regex", "value": str(expression)}:
            grammar = {"type": "regex", "value": expression}
        case _:
            raise InvalidField(
                field, f'\'{field}\' is {shown(given)}; it must be like {example} or {{"type": "json_object"}}.'
            )
    return as_parameter(field, grammar, task)


def as_parameter(field: str, grammar: dict[str, Any], task: Task) -> dict[str, Any]:
    """Raises ``InvalidField``; ``UnsupportedField`` where texts of the task follow no grammar."""
    if PARAMETER not in task.parameters:
        raise UnsupportedField(field, f"'{field}' is not supported for {task.name}; leave it out.")
    kind = task.parameters[PARAMETER].kind
    if not kind.accepts(grammar):
        raise InvalidField(field, f"'{field}' means {shown(grammar)}; it must be {kind}.")
    return {PARAMETER: grammar}
