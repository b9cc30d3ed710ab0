"""What a client sent, checked against its task and the worker's description."""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from inference.errors import EmptyInput, InferenceError, Invalid, PayloadTooLarge
from inference.messaging.messages import Description
from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.parameters import Number
from inference.tasks.values import json_type


def validate_number(inputs: Sequence[Any]) -> None:
    """Raises ``EmptyInput``; possible before it is known what is served."""
    if not inputs:
        raise EmptyInput("'inputs' is an empty list; send a text or a list of texts.")


def validate_inputs(
    description: Description, inputs: Sequence[Any], parameters: Mapping[str, Any] = MappingProxyType({})
) -> list[Any]:
    """The inputs as workers get them, checked as far as possible without a tokenizer.

    Args:
        parameters: valid ones; with those that cut inputs, they may be too long for the model.

    Raises:
        EmptyInput: nothing to work on.
        Invalid: not what the task takes, or too long. A message names the input's index if there are several.
    """
    validate_number(inputs)
    task = TASKS[description.task]
    form, cut = task.input, task.cuts(parameters)
    return [
        form.checked(f"inputs[{index}]" if len(inputs) > 1 else "The input", value, description, cut=cut)
        for index, value in enumerate(inputs)
    ]


async def checked_inputs(
    description: Description,
    inputs: Sequence[Any],
    parameters: Mapping[str, Any],
    most_media_bytes: int,
    *,
    partial: bool = False,
) -> list[Any]:
    """``validate_inputs`` and ``validate_media``; base64 of images and recordings is decoded on another thread.

    Args:
        partial: an error takes the place of its input, and is not raised.
    """

    def check(some: Sequence[Any]) -> list[Any]:
        checked = validate_inputs(description, some, parameters)
        validate_media(checked, most_media_bytes)
        return checked

    def check_each(some: Sequence[Any]) -> list[Any]:
        return [_or_error(check, value) for value in some]

    work = check_each if partial else check
    return await asyncio.to_thread(work, inputs) if TASKS[description.task].input.media else work(inputs)


def _or_error(check: Callable[[Sequence[Any]], list[Any]], value: Any) -> Any:
    try:
        return check([value])[0]
    except InferenceError as error:
        return error


def validate_media(inputs: Sequence[Any], most_bytes: int) -> None:
    """Raises ``PayloadTooLarge`` for an image or recording that is too large, alone or within an input."""
    for data in _media(inputs):
        if len(data) > most_bytes:
            raise PayloadTooLarge(f"An image or recording has {len(data)} bytes; {most_bytes} are allowed.")


def _media(value: Any) -> Iterator[bytes]:
    """All that there are in an input, or a list of them."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _media(part)


def validate_tokens(description: Description, field: str) -> None:
    """``field`` asks for single tokens. Raises ``Invalid`` where there cannot be any."""
    if not description.streams:
        raise Invalid(f"{description.task} does not stream; leave {field!r} out.")


def validate_parameters(description: Description, given: Any) -> dict[str, Any]:
    """The parameters to send to a worker. One that is null counts as not given.

    Raises:
        Invalid: one sentence that names the parameter, its value and what would be right.
    """
    task = TASKS[description.task]
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise Invalid(f"'parameters' is {json_type(given)}; it must be an object such as {{\"top_k\": 3}}.")
    parameters = {name: value for name, value in _flat(task, given).items() if value is not None}
    for name, value in parameters.items():
        _check_parameter(task, name, value, description)
        if isinstance(task.parameters[name].kind, Number):
            parameters[name] = float(value)  # some of transformers' own checks refuse a 2 where 2.0 is right
    for name, parameter in task.parameters.items():
        if parameter.required and name not in parameters:
            raise Invalid(f"{task.name} needs the parameter {name}: {parameter.kind}, {parameter.meaning}.")
    if task.samples:
        parameters.setdefault("seed", secrets.randbelow(2**31))
    return parameters


def _flat(task: Task, given: dict[str, Any]) -> dict[str, Any]:
    """All parameters side by side; one that is given twice counts where it is by itself."""
    more = given.get(task.more_parameters) if task.more_parameters else None
    if more is None:
        return given
    if not isinstance(more, dict):
        raise Invalid(f"Parameter {task.more_parameters} is {json_type(more)}; it must be an object with parameters.")
    return more | {name: value for name, value in given.items() if name != task.more_parameters}


def _check_parameter(task: Task, name: str, value: Any, description: Description) -> None:
    parameter = task.parameters.get(name)
    if parameter is None:
        known = ", ".join(task.parameters) or "none"
        raise Invalid(f"There is no parameter {_shown(name)} for {task.name}; known are: {known}.")
    if not parameter.kind.accepts(value):
        raise Invalid(f"Parameter {name} is {_shown(value)}; it must be {parameter.kind}.")
    if parameter.within_vocabulary and description.vocabulary:
        _check_vocabulary(name, value, description.vocabulary)


def _check_vocabulary(name: str, value: Any, words: int) -> None:
    """Raises ``Invalid``."""
    if not isinstance(value, dict):
        if value > words:
            raise Invalid(f"Parameter {name} is {value}; the model's vocabulary has {words} words.")
    elif unknown := [token for token in value if int(token) >= words]:
        raise Invalid(f"Parameter {name} names the token {unknown[0]}; the last one of this model is {words - 1}.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
