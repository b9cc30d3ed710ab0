"""Which parameters of a generating task the fields of a request mean."""

from typing import Any

from inference.api.dialects.openai.errors import UnsupportedField
from inference.api.dialects.openai.fields import Fields, checked
from inference.tasks.base import Task
from inference.tasks.parameters import Kind, Number, Whole
from inference.tasks.schemas import TEXT, Schema, one_of

MOST_CHOICES = 128
GREEDY = 0.01
"""A temperature below it is none: the likeliest token is taken."""
LEAST_TOP_P = 0.001
SEEDS = 2**31
SAMPLING = ("temperature", "top_p", "top_k")
"""Whoever says one of them wants tokens to be drawn."""
_LENGTHS = dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), "max_new_tokens")
"""OpenAI's names for a parameter; the last one that is given counts."""
_OF_OTHER_FIELDS = frozenset({"return_full_text", "top_n_tokens"})
"""Parameters that are not taken under their own names."""
_KINDS: dict[str, Kind] = {"temperature": Number(0, 100), "top_p": Number(0, 1), "seed": Whole(-(2**63), 2**63 - 1)}
"""Of fields that may have more values than the parameters that they mean."""


def names_of(task: Task) -> dict[str, str]:
    """The task's parameters by the fields that mean them."""
    names = {name: name for name in task.parameters if name not in _OF_OTHER_FIELDS}
    return names | (_LENGTHS if "max_new_tokens" in names else {})


def field_schemas(task: Task) -> dict[str, Schema]:
    """Of the fields that ``names_of`` has."""
    schemas = {}
    for name, parameter in names_of(task).items():
        known = task.parameters[parameter]
        schema = _KINDS.get(name, known.kind).schema()
        schemas[name] = (one_of(TEXT, schema) if name == "stop" else schema) | {"description": known.meaning}
    return schemas


def parameters_for(task: Task, fields: Fields, top_logprobs: int | None) -> dict[str, Any]:
    """The parameters that known fields mean: those that OpenAI has, and those with the parameters' own names.

    What is not said is left to the checkpoint, also whether tokens are drawn; OpenAI would draw them at a temperature
    of 1. Several choices are drawn, too, since they would be the same otherwise.

    Raises:
        InvalidField: a value that is not right, by the name of its field.
        UnsupportedField: the task has no such parameter.
    """
    names = names_of(task)
    parameters = {names[name]: _value(task, names[name], name, fields[name]) for name in names if name in fields}
    if parameters.get("temperature", GREEDY) < GREEDY:
        del parameters["temperature"]
        parameters.setdefault("do_sample", False)
    elif fields.get("n", 1) > 1 or not parameters.keys().isdisjoint(SAMPLING):
        parameters.setdefault("do_sample", True)
    if task.continues:
        parameters["return_full_text"] = False
    if top_logprobs:
        if "top_n_tokens" not in task.parameters:
            raise UnsupportedField("logprobs", f"{task.name} tells no likeliest tokens here; ask for 0 of them.")
        parameters["top_n_tokens"] = top_logprobs
    return parameters


def texts(value: Any) -> Any:
    """A text alone counts as a list of one."""
    return [value] if isinstance(value, str) else value


def _value(task: Task, parameter: str, name: str, value: Any) -> Any:
    """As the parameter takes it. Raises ``InvalidField``."""
    kind = _KINDS.get(name) or task.parameters[parameter].kind
    value = checked(name, texts(value) if name == "stop" else value, kind)
    if name == "seed":
        return value % SEEDS
    return max(value, LEAST_TOP_P) if name == "top_p" else value
