"""What a request means to the task that is served."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.api.dialects.open_inference.tensors import from_json
from inference.errors import Invalid, NotFound
from inference.messaging.messages import Description
from inference.serving.query import Query
from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.parameters import Kind

ONLY_VERSION = "1"
"""Always means the version that is served."""
VECTORS = "vectors"


@dataclass(slots=True)
class Asked:
    """What the reply needs of the request."""

    id: str
    """The client's own; empty if it has none."""
    pipeline: str
    version: str
    """Of the path; empty if it names none."""
    served: str = ONLY_VERSION
    """The version that answers; known once the request was adapted to it."""
    binary: bool = False
    """The output is wanted as bytes."""
    column: str = ""
    """Name of the one tensor with inputs."""
    tensors: Mapping[str, list[Any]] = field(default_factory=dict)
    """Elements of those that may be parameters."""


def check_version(version: str, served: str, pipeline: str) -> None:
    """``version`` is that of a path; ``served`` is empty while it is not known. Raises ``NotFound``."""
    if served and version not in ("", ONLY_VERSION, served):
        raise NotFound(f"There is no version {version[:60]!r} of {pipeline}; {ONLY_VERSION} or {served} is right.")


def adapted(query: Query, description: Description) -> Query:
    """Raises ``Invalid``, and ``NotFound`` for another version."""
    asked: Asked = query.state
    check_version(asked.version, description.version, asked.pipeline)
    asked.served = description.version
    task = TASKS[description.task]
    if query.stream and not description.streams:
        raise Invalid(f"Pipeline {asked.pipeline} serves {task.name}, which does not stream; ask without a stream.")
    if query.stream and len(query.inputs) > 1:
        raise Invalid(f"A stream is for one input, and there are {len(query.inputs)}; send one.")
    parameters = _parameters(task, query.parameters, asked.tensors)
    if task.output == VECTORS and "pooling" in task.parameters:
        parameters.setdefault("pooling", "auto")  # a tensor has one vector for each input
    return query.changed(
        inputs=[_input(task, value, asked.column) for value in query.inputs],
        parameters=parameters,
        arrays=task.output == VECTORS,
    )


def _parameters(task: Task, given: Mapping[str, Any], tensors: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Clients may only send texts, numbers and booleans; a list is a tensor, or JSON in a text."""
    parameters = dict(given)
    for name, elements in tensors.items():
        kind = _kind(task, name)
        single = len(elements) == 1 and not (kind and kind.accepts(elements))
        parameters[name] = elements[0] if single else elements
    return {name: _value(_kind(task, name), name, value) for name, value in parameters.items()}


def _kind(task: Task, name: str) -> Kind | None:
    parameter = task.parameters.get(name)
    return parameter.kind if parameter else None


def _value(kind: Kind | None, name: str, value: Any) -> Any:
    if kind and isinstance(value, str) and value.startswith(("[", "{")) and not kind.accepts(value):
        return from_json(f"Parameter {name}", value)
    return value


def _input(task: Task, value: Any, column: str) -> Any:
    """The input in the form that the task's example has."""
    example = task.example
    if isinstance(example, str):
        return value
    if isinstance(example, dict) and column in example:
        value = {column: value}
    if not isinstance(value, dict):
        return from_json(f"The input {column[:60]!r}", value)
    return {name: _field(example, name, each) for name, each in value.items()} if isinstance(example, dict) else value


def _field(example: dict[str, Any], name: str, value: Any) -> Any:
    """A field that is an object or a list is JSON in a tensor."""
    return value if isinstance(example.get(name, ""), str) else from_json(f"The input {name!r}", value)
