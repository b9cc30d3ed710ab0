"""What the OpenAPI document says of the Open Inference Protocol."""

import json
from dataclasses import replace
from typing import Any

from inference.api.dialects.doc import JSON, Body, Doc, Given, events
from inference.api.dialects.open_inference.elements import BYTES, DATATYPES
from inference.tasks.base import Task
from inference.tasks.outputs import STRING
from inference.tasks.schemas import Schema, fields, items

BINARY = "application/octet-stream"
ERROR = fields(error=STRING)

_OBJECT: Schema = {"type": "object"}
_FLAG: Schema = {"type": "boolean"}
_TENSOR = fields(
    *("parameters", "data"),
    name=STRING,
    datatype={"enum": [*DATATYPES]},
    shape=items({"type": "integer"}),
    parameters=_OBJECT,
    data={"type": "array", "description": "flat, or nested like the shape"},
)
_SERVED = {"model_name": STRING, "model_version": STRING, "id": STRING}
_STATUS = fields("name", "live", "reason", name=STRING, live=_FLAG, ready=_FLAG, reason=STRING)
_METADATA = fields(
    *("inputs", "outputs"),
    name=STRING,
    versions=items(STRING),
    platform=STRING,
    inputs=items(_TENSOR),
    outputs=items(_TENSOR),
)
_INDEX = items(fields(name=STRING, version=STRING, state=STRING, reason=STRING))
_VERSION = Given("version", "path", STRING | {"examples": ["1"]}, "1, or the version that is served")

SERVER = Doc(
    summary="Name and extensions", answers={JSON: fields(name=STRING, version=STRING, extensions=items(STRING))}
)
LIVE = Doc(summary="Does the process answer?", answers={JSON: fields(live=_FLAG)}, without_key=True)
READY = Doc(
    summary="Would a request be served now?", answers={JSON: _STATUS}, failures={503: _STATUS}, without_key=True
)
MODEL = Doc(summary="The tensors of a pipeline", answers={JSON: _METADATA})
MODEL_READY = Doc(summary="Does a pipeline answer now?", answers={JSON: _STATUS}, failures={503: _STATUS})
INDEX = Doc(summary="The pipelines and their states", answers={JSON: _INDEX})


def infer(task: Task | None, *, stream: bool) -> Doc | None:
    if task is not None and stream and not _writes(task):
        return None
    body = fields(
        *("id", "parameters", "outputs", "model_name", "model_version"),
        id=STRING,
        inputs=items(_TENSOR, 1),
        parameters={"type": "object", "description": "those of the pipeline's task, and of the protocol"},
        outputs=items(_OBJECT),
        model_name=STRING,
        model_version=STRING,
    )
    answer = fields(**_SERVED, outputs=items(_TENSOR, 1))
    return Doc(
        summary="Run a pipeline, token by token" if stream else "Run a pipeline",
        description="Tensors may be bytes after the JSON, with Inference-Header-Content-Length.",
        bodies={JSON: Body(body, _example(task, stream=stream) if task else None), BINARY: Body({})},
        answers={"text/event-stream": events(answer)} if stream else {JSON: answer, BINARY: {}},
    )


def generate(task: Task | None, *, stream: bool) -> Doc | None:
    if task is not None and not _writes(task):
        return None
    body = _OBJECT | {
        "properties": {"text_input": STRING | {"minLength": 1}, "id": STRING, "parameters": _OBJECT},
        "required": ["text_input"],
    }
    answer = fields(**_SERVED, text_output=STRING)
    example = {"text_input": "a text", "parameters": _single(task, stream=stream) if task else {}}
    return Doc(
        summary="A text for a text, token by token" if stream else "A text for a text",
        description="Parameters may be in `parameters` or beside it.",
        bodies={JSON: Body(body, example)},
        answers={"text/event-stream": events(answer)} if stream else {JSON: answer},
    )


def in_version(doc: Doc | None, path: str) -> Doc | None:
    """With what there is to say of the version in the path."""
    return replace(doc, given=(_VERSION,)) if doc and "{version}" in path else doc


def _writes(task: Task) -> bool:
    return task.output == "text" and not task.input.media


def _example(task: Task, *, stream: bool) -> dict[str, Any]:
    columns = task.example if isinstance(task.example, dict) else {"inputs": task.example}
    lists = {name: value for name, value in task.example_parameters.items() if isinstance(value, list)}
    tensors = [_tensor(name, value) for name, value in (columns | lists).items()]
    return {"inputs": tensors, "parameters": _single(task, stream=stream)}


def _single(task: Task, *, stream: bool) -> dict[str, Any]:
    """Parameters that are no lists; a text that is searched with beams has no tokens before its end."""
    single = {name: value for name, value in task.example_parameters.items() if not isinstance(value, list)}
    return single | ({"num_beams": 1} if stream and "num_beams" in task.parameters else {})


def _tensor(name: str, value: Any) -> dict[str, Any]:
    """Texts are elements; whatever else there is, is JSON in one."""
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
    data = value if texts else [value if isinstance(value, str) else json.dumps(value)]
    return {"name": name, "datatype": BYTES, "shape": [len(data)], "data": data}
