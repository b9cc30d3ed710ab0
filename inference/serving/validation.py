"""What a client asked, checked against its task's table and the worker's description."""

import secrets
from collections.abc import Sequence
from typing import Any

from inference.errors import EmptyInput, Invalid
from inference.messaging.messages import Description
from inference.tasks.base import TASKS, Task, encodable

MESSAGE = '{"role": "user", "content": "a text"}'
MOST_MESSAGES = 1000
LONGEST_ROLE = 32


def is_chat(value: Any) -> bool:
    """A list of chat messages, which is one input; any other list is a list of inputs."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return False
    return any("role" in item for item in value)


def validate_number(inputs: Sequence[Any]) -> None:
    """Raises ``EmptyInput``, also before it is known what is served."""
    if not inputs:
        raise EmptyInput("'inputs' is an empty list; send a text or a list of texts.")


def validate_inputs(description: Description, inputs: Sequence[Any]) -> None:
    """Check what can be checked without a tokenizer.

    Raises:
        EmptyInput: nothing to work on.
        Invalid: not a text (or a chat, where the model takes one), too long, or without a mask. A message names the
            input's index if there are several.
    """
    validate_number(inputs)
    for index, value in enumerate(inputs):
        where = f"inputs[{index}]" if len(inputs) > 1 else "The input"
        if description.chat and is_chat(value):
            _check_chat(where, value, description)
        else:
            _check_text(where, value, description)


def _check_text(where: str, text: Any, description: Description) -> None:
    if is_chat(text):
        what = "this model has no chat template" if description.task == "text-generation" else "this task has no chats"
        raise Invalid(f"{where} is a list of messages, but {what}; it must be a text.")
    if not isinstance(text, str):
        raise Invalid(f"{where} is {json_type(text)}; it must be a text.")
    if not text.strip():
        raise EmptyInput(f"{where} is empty; send a text.")
    _check_characters(where, [text], description)
    if description.mask_token and description.task == "fill-mask" and description.mask_token not in text:
        raise Invalid(f"{where} has no {description.mask_token}; put one where a word is to be filled in.")


def _check_chat(where: str, chat: list[dict[str, Any]], description: Description) -> None:
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
    _check_characters(where, [text for message in chat for text in message.values()], description)


def _check_characters(where: str, texts: list[str], description: Description) -> None:
    size = sum(map(len, texts))
    if size > description.longest_input_chars:
        raise Invalid(
            f"{where} has {size} characters; this model takes {description.longest_input} tokens, "
            f"which are never more than {description.longest_input_chars} characters."
        )
    if not all(map(encodable, texts)):
        raise Invalid(f"{where} has half of a surrogate pair in it, which is no character; send whole ones.")


def validate_tokens(description: Description, field: str, *, many: bool) -> None:
    """``field`` asks for single tokens. Raises ``Invalid`` where there cannot be any."""
    if not description.streams:
        raise Invalid(f"{description.task} does not stream; leave {field!r} out.")
    if many:
        raise Invalid(f"{field!r} is for one input, and 'inputs' is a list; send a text, or leave {field!r} out.")


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
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        _check_parameter(task, name, value)
    for name, parameter in task.parameters.items():
        if parameter.required and name not in given:
            raise Invalid(f"{task.name} needs the parameter {name}: {parameter.kind}, {parameter.meaning}.")
    if given.get("top_k", 0) > description.vocabulary > 0 and task.name == "fill-mask":
        raise Invalid(
            f"Parameter top_k is {given['top_k']}; the model's vocabulary has {description.vocabulary} words."
        )
    if task.samples:
        given.setdefault("seed", secrets.randbelow(2**31))
    return {name: value for name, value in given.items() if task.parameters[name].travels}


def _check_parameter(task: Task, name: str, value: Any) -> None:
    parameter = task.parameters.get(name)
    if parameter is None:
        known = ", ".join(task.parameters) or "none"
        raise Invalid(f"There is no parameter {_shown(name)} for {task.name}; known are: {known}.")
    if not parameter.kind.accepts(value):
        raise Invalid(f"Parameter {name} is {_shown(value)}; it must be {parameter.kind}.")


def json_type(value: Any) -> str:
    """The JSON type of a value, in words, for messages to clients."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
