"""What the OpenAPI document says of transcripts and speech."""

import json
from typing import Any

from inference.api.dialects.doc import EVENTS, JSON, TEXT, Body, Doc, events, parameter_schema
from inference.api.dialects.openai.docs import FLAG, MODEL_FIELD, tasks_of
from inference.api.dialects.openai.fields import IGNORED
from inference.api.dialects.openai.forms import FILE, FORM
from inference.tasks.base import Task
from inference.tasks.outputs import STRING
from inference.tasks.parameters import Choice
from inference.tasks.schemas import TEXT as A_TEXT
from inference.tasks.schemas import Schema, fields, items

_TRANSCRIPT: Schema = {"type": "object", "properties": {"text": STRING}, "required": ["text"]}
_IGNORED: dict[str, Schema] = {name: {"description": "has no effect"} for name in sorted(IGNORED)}


def transcription(task: Task | None, response_format: Choice, granularity: Choice, others: frozenset[str]) -> Doc:
    """``others``: parameters of the task that are no fields."""
    schemas: dict[str, Schema] = {
        FILE: {"type": "string", "contentMediaType": "audio/*", "description": "the recording"},
        "model": MODEL_FIELD,
        "response_format": response_format.schema(),
        "timestamp_granularities[]": items(granularity.schema()) | {"description": "for verbose_json"},
        "stream": FLAG | {"description": "answer with an event for each token, where the model streams"},
        **_parameters(task, "transcript", others),
    }
    return Doc(
        summary="What is said in a recording",
        bodies={FORM: Body(_object(schemas, FILE))},
        answers={JSON: _TRANSCRIPT, TEXT: STRING, EVENTS: events({"type": "object"})},
        pipeline_field="model",
    )


def speech(task: Task | None, example: str, only: dict[str, Any]) -> Doc:
    schemas: dict[str, Schema] = {
        "input": A_TEXT,
        "model": MODEL_FIELD,
        "voice": {"description": "its number from 0, or alloy or default, which mean the first"},
        **{name: {"enum": [*values]} for name, values in only.items()},
        **_parameters(task, "media", frozenset({"format"})),
    }
    for each in tasks_of(task, "media"):
        schemas["response_format"] = parameter_schema(each.parameters["format"])
    return Doc(
        summary="A text as a recording",
        bodies={JSON: Body(_object(schemas, "input"), json.loads(example))},
        answers={"audio/*": {}},
        pipeline_field="model",
    )


def _parameters(task: Task | None, output: Any, but: frozenset[str]) -> dict[str, Schema]:
    return {
        name: parameter_schema(parameter)
        for each in tasks_of(task, output)
        for name, parameter in each.parameters.items()
        if name not in but
    }


def _object(schemas: dict[str, Schema], required: str) -> Schema:
    schemas = schemas | _IGNORED
    return fields(*(schemas.keys() - {required}), **schemas)
