"""What a dialect tells of an endpoint or a resource: of it the OpenAPI document and the page ``/docs`` are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from inference.tasks.base import Task
from inference.tasks.parameters import Parameter
from inference.tasks.schemas import Schema

JSON, TEXT, EVENTS = "application/json", "text/plain", "text/event-stream"


class Body(NamedTuple):
    """One content type of a request."""

    schema: Schema
    example: Any = None
    """That a server answers with 200: a JSON value, of ``text/plain`` a text. ``None`` for none."""


class Given(NamedTuple):
    """What a request may have besides its body."""

    name: str
    place: Literal["query", "header", "path"]
    schema: Schema
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Doc:
    summary: str
    """In a few words, without a full stop."""
    description: str = ""
    bodies: Mapping[str, Body] = field(default_factory=dict)
    """By content type. Without one, nothing is read."""
    answers: Mapping[str, Schema]
    """Of status 200, by content type."""
    failures: Mapping[int, Schema] = field(default_factory=dict)
    """Answers in JSON with other statuses that are no ``InferenceError``."""
    given: tuple[Given, ...] = ()
    pipeline_field: str = ""
    """The field of a JSON body that names the pipeline."""
    without_key: bool = False
    """It is answered without one, also where others need it."""


def parameter_schema(parameter: Parameter) -> Schema:
    """With its meaning."""
    return parameter.kind.schema() | {"description": parameter.meaning}


def parameters_schema(task: Task) -> Schema:
    """Of an object with the parameters of a task."""
    properties = {name: parameter_schema(parameter) for name, parameter in task.parameters.items()}
    required = [name for name, parameter in task.parameters.items() if parameter.required]
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if task.more_parameters:
        more = {"type": "object", "properties": properties.copy(), "additionalProperties": False}
        properties[task.more_parameters] = more | {"description": "parameters, as if they were beside it"}
    return schema | {"required": required} if required else schema


def events(data: Schema) -> Schema:
    """Of each server-sent event, as OpenAPI 3.2 describes them: ``data`` is JSON."""
    return {
        "type": "object",
        "properties": {"data": {"type": "string", "contentMediaType": JSON, "contentSchema": data}},
        "required": ["data"],
    }
