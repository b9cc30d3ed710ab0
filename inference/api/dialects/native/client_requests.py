"""What the clients of Hugging Face send otherwise than ``/ws/`` takes it, and the defaults that they expect.

``huggingface_hub.InferenceClient`` and ``@huggingface/inference`` (JavaScript) share their requests, not their answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inference.api.dialects.native.client_parameters import client_parameters
from inference.api.dialects.native.requests import FIELDS, read_query
from inference.errors import Invalid
from inference.messaging.messages import Description
from inference.serving.query import Query
from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.inputs import InputForm, MediaInput, MediaQuestionInput

JAVASCRIPT = "@huggingface/inference/"
"""The beginning of that client's ``User-Agent``."""
ENCODINGS = ("float", "base64")


@dataclass(frozen=True, slots=True)
class Client:
    """The state of a query whose answer gets the shape that clients read."""

    javascript: bool
    beside: Mapping[str, Any] = field(default_factory=dict)
    """Fields beside ``inputs`` that only pipelines of some tasks have."""


def read_client_query(fields: dict[str, Any], client: Client, deadline_s: float | None) -> Query:
    """A body of JSON. Raises as ``read_query``."""
    if not fields.keys() <= set(FIELDS):
        known = _beside()
        beside = {name: value for name, value in fields.items() if name in known and value is not None}
        fields = {name: value for name, value in fields.items() if name not in known}
        client = replace(client, beside=beside)
    return read_query(fields, deadline_s=deadline_s, state=client, adapt=adapt)


def _beside() -> frozenset[str]:
    vectors = {name for task in TASKS.values() if task.output == "vectors" for name in task.parameters}
    return frozenset({"question", "image", "encoding_format", *vectors})


def adapt(query: Query, description: Description) -> Query:
    """The query as the pipeline of this task takes it. Raises ``Invalid``."""
    task, client = TASKS[description.task], query.state
    parameters, inputs = query.parameters, [_input(task.input, value) for value in query.inputs]
    if client.beside:
        if isinstance(task.input, MediaQuestionInput):
            inputs = [_question(task.input, query, client.beside)]
        elif task.output == "vectors":
            parameters = _with_beside(parameters, client.beside)
        else:
            raise _unknown(next(iter(client.beside)), task)
    one = client.javascript and "candidate_labels" in task.parameters and len(inputs) == 1  # it may send one as a list
    return query.changed(inputs=inputs, parameters=client_parameters(task, parameters), many=query.many and not one)


def _input(form: InputForm, value: Any) -> Any:
    """An image alone may come as an object."""
    if isinstance(form, MediaInput) and isinstance(value, dict) and value.keys() == {form.kind}:
        return value[form.kind]
    return value


def _question(form: MediaQuestionInput, query: Query, beside: Mapping[str, Any]) -> Any:
    """The input is the image, and the question is beside it, perhaps with the image again."""
    kind = form.kind
    if query.many or isinstance(query.inputs[0], dict) or not beside.keys() <= {kind, "question"}:
        raise Invalid(f"Send {kind} and question in 'inputs', or the {kind} as 'inputs' and 'question' beside it.")
    return {kind: query.inputs[0], **beside}


def _with_beside(parameters: Any, beside: Mapping[str, Any]) -> Any:
    if not (parameters is None or isinstance(parameters, dict)):
        return parameters  # which is refused
    encoding = beside.get("encoding_format", "float")
    if encoding not in ENCODINGS:
        raise Invalid(f"'encoding_format' must be one of {', '.join(ENCODINGS)}; the answer has numbers in any case.")
    return {name: value for name, value in beside.items() if name != "encoding_format"} | (parameters or {})


def _unknown(name: str, task: Task) -> Invalid:
    known = ", ".join(field for field in FIELDS if field != "options")
    return Invalid(f"There is no field {name!r} for {task.name}; known are: {known}.")
