"""Which parameters of a generating task the fields of a request mean."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from inference.api.dialects.openai.fields import Fields, check_known, checked, read, read_include_usage
from inference.tasks.base import Task
from inference.tasks.parameters import Kind, Number, Whole

MOST_CHOICES = 128
GREEDY = 0.01
"""A temperature below it is none: the likeliest token is taken."""
LEAST_TOP_P = 0.001
SEEDS = 2**31
SAMPLING = ("temperature", "top_p", "top_k")
"""Whoever says one of them wants tokens to be drawn."""

_LENGTHS = dict.fromkeys(("max_tokens", "max_completion_tokens"), "max_new_tokens")
"""OpenAI's names for a parameter; the last one that is given counts."""
_OF_OTHER_FIELDS = frozenset({"return_full_text", "top_n_tokens"})
"""Parameters that are not taken under their own names."""
_KINDS: dict[str, Kind] = {"temperature": Number(0, 100), "top_p": Number(0, 1), "seed": Whole(-(2**63), 2**63 - 1)}
"""Of fields that may have more values than the parameters that they mean."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """What the answer to a request depends on: the ``state`` of its query."""

    model: str
    """Name of the pipeline."""
    stop: list[str]
    """The text ends before one of these."""
    include_usage: bool
    top_logprobs: int | None
    """Likeliest tokens that are told beside each one; ``None``: nothing is told of single tokens."""
    echo: bool = False
    """The prompt comes before the text."""
    version: str = ""
    """Of the model; empty until it is known what is served."""


def read_choices(fields: Fields) -> int:
    """Raises ``InvalidField``."""
    return int(read(fields, "n", Whole(1, MOST_CHOICES), default=1))


def read_asked(fields: Fields, model: str, top_logprobs: int | None, *, echo: bool = False) -> Asked:
    """``stop`` is checked later, with the task's parameters. Raises ``InvalidField``."""
    return Asked(
        model=model,
        stop=_texts(fields.get("stop", [])),
        include_usage=read_include_usage(fields),
        top_logprobs=top_logprobs,
        echo=echo,
    )


def parameters_for(task: Task, fields: Fields, others: Collection[str], asked: Asked) -> dict[str, Any]:
    """The parameters of the task, from the fields that OpenAI has and those with the parameters' own names.

    What is not said is left to the checkpoint, also whether tokens are drawn; OpenAI would draw them at a temperature
    of 1. Several choices are drawn, too, since they would be the same otherwise.

    Args:
        others: fields that mean no parameter.

    Raises:
        InvalidField: a value that is not right, by the name of its field.
        UnsupportedField: what neither OpenAI nor the task has.
    """
    names = {name: name for name in task.parameters if name not in _OF_OTHER_FIELDS}
    names |= _LENGTHS if "max_new_tokens" in names else {}
    check_known(fields, dict.fromkeys([*others, *names]))
    given = [name for name in names if name in fields and fields[name] != []]
    parameters = {names[name]: _value(task, names[name], name, fields[name]) for name in given}
    if parameters.get("temperature", GREEDY) < GREEDY:
        del parameters["temperature"]
        parameters.setdefault("do_sample", False)
    elif fields.get("n", 1) > 1 or not parameters.keys().isdisjoint(SAMPLING):
        parameters.setdefault("do_sample", True)
    if task.continues:
        parameters["return_full_text"] = False
    if asked.top_logprobs:
        parameters["top_n_tokens"] = asked.top_logprobs
    return parameters


def _value(task: Task, parameter: str, name: str, value: Any) -> Any:
    """As the parameter takes it. Raises ``InvalidField``."""
    if name == "stop":
        value = _texts(value)
    value = checked(name, value, _KINDS.get(name) or task.parameters[parameter].kind)
    if name == "seed":
        return value % SEEDS
    return max(value, LEAST_TOP_P) if name == "top_p" else value


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value
