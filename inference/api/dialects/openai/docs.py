"""What the OpenAPI document says of chats, completions and models."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inference.api.dialects.doc import EVENTS, JSON, Body, Doc, parameter_schema
from inference.api.dialects.openai.fields import IGNORED
from inference.api.dialects.openai.messages import ROLES_OF_CHATS
from inference.api.dialects.openai.parameters import MOST_CHOICES, field_schemas
from inference.api.dialects.openai.tools import CHOICES as TOOL_CHOICES
from inference.api.dialects.openai.tools import MOST as MOST_TOOLS
from inference.tasks import TASKS
from inference.tasks.base import Output, Task
from inference.tasks.outputs import STRING, WHOLE
from inference.tasks.parameters import Choice, Whole
from inference.tasks.schemas import BASE64, NUMBER, TEXT, Schema, fields, items, one_of

FLAG: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
ERROR = fields(error=fields(message=STRING, type=STRING, param=one_of(STRING, NULL), code=one_of(STRING, NULL)))

MODEL_FIELD: Schema = STRING | {"description": "name of the pipeline; by default the default one"}
_IMAGE = fields(type={"const": "image_url"}, image_url=fields(url=STRING))
_PARTS = items(one_of(fields(type={"const": "text"}, text=STRING), _IMAGE), 1)
_CALL = fields(id=STRING, type={"const": "function"}, function=fields(name=STRING, arguments=STRING))
_MESSAGE = fields(
    *("content", "name", "tool_calls", "tool_call_id"),
    role={"enum": [*ROLES_OF_CHATS]},
    content=one_of(STRING, _PARTS, NULL) | {"description": "it may be null beside tool_calls alone"},
    name=STRING,
    tool_calls=items(_CALL),
    tool_call_id=STRING,
)
_FUNCTION = fields("description", "parameters", name=STRING, description=STRING, parameters={"type": "object"})
_IDS = items(WHOLE | {"minimum": 0}, 1)
_FIELDS: Mapping[str, Schema] = {
    "messages": items(_MESSAGE, 1),
    "prompt": one_of(TEXT, items(TEXT, 1), _IDS, items(_IDS, 1)) | {"description": "a text or token ids, or several"},
    "model": MODEL_FIELD,
    "n": Whole(1, MOST_CHOICES).schema() | {"description": "how many answers"},
    "stream": FLAG | {"description": "answer with an event for each token"},
    "stream_options": fields("include_usage", include_usage=FLAG),
    "echo": FLAG | {"description": "put the prompt before the text"},
    "return_full_text": FLAG | {"description": "as echo"},
    "response_format": {
        "type": "object",
        "properties": {"type": {"enum": ["text", "json_object", "json_schema", "json", "regex"]}},
        "required": ["type"],
        "description": "the answer is JSON, by a schema in json_schema, or follows a regular expression in value",
    },
    "tools": items(fields(type={"const": "function"}, function=_FUNCTION), 0, MOST_TOOLS),
    "tool_choice": one_of({"enum": [*TOOL_CHOICES]}, fields(type={"const": "function"}, function=fields(name=STRING))),
    "parallel_tool_calls": FLAG | {"description": "has no effect"},
}

_COMMON = {"id": STRING, "object": STRING, "created": WHOLE, "model": STRING, "system_fingerprint": STRING}
_USAGE = fields(
    prompt_tokens=WHOLE,
    prompt_tokens_details=fields(cached_tokens=WHOLE),
    completion_tokens=WHOLE,
    total_tokens=WHOLE,
)
_OF_CHOICE = {"index": WHOLE, "logprobs": {}, "finish_reason": one_of(STRING, NULL)}
_OF_RESPONSE = {"id": STRING, "object": {"const": "response"}, "status": STRING, "output": items({"type": "object"})}
_RESPONSE = {"type": "object", "properties": _OF_RESPONSE, "required": [*_OF_RESPONSE]}
_CARD = fields("state", id=STRING, object={"const": "model"}, created=WHOLE, owned_by=STRING, state=STRING)

MODELS = Doc(summary="The pipelines", answers={JSON: fields(object={"const": "list"}, data=items(_CARD))})
MODEL = Doc(summary="One pipeline, by its name", answers={JSON: _CARD})


def schemas(names: Iterable[str], only: Mapping[str, Sequence[Any]]) -> dict[str, Schema]:
    """Of the fields of an endpoint; ``only``: of those that are taken with some values only."""
    return {name: {"enum": [*only[name]]} if name in only else _FIELDS.get(name, {}) for name in names}


def chat(task: Task | None, example: str, schemas: dict[str, Schema]) -> Doc:
    return _generated(
        "Answer a chat",
        task,
        example,
        schemas,
        message=fields("tool_calls", role=STRING, content=one_of(STRING, NULL), tool_calls=items(_CALL, 1)),
    )


def completion(task: Task | None, example: str, schemas: dict[str, Schema]) -> Doc:
    return _generated("Continue a text", task, example, schemas, text=STRING)


def response(task: Task | None, example: str, schemas: dict[str, Schema]) -> Doc:
    for each in tasks_of(task, "text"):
        schemas = schemas | field_schemas(each)
    return Doc(
        summary="Answer, as Open Responses has it",
        description="Over a WebSocket at the same path, responses are kept for as long as it is open.",
        bodies={JSON: _body(example, schemas)},
        answers={JSON: _RESPONSE, EVENTS: fields("event", data=STRING, event=STRING)},
        pipeline_field="model",
    )


def embeddings(task: Task | None, example: str, encoding_format: Choice) -> Doc:
    schemas = {
        "input": one_of(TEXT, items(TEXT, 1)),
        "model": MODEL_FIELD,
        "encoding_format": encoding_format.schema(),
    }
    for each in tasks_of(task, "vectors"):
        schemas |= {name: parameter_schema(parameter) for name, parameter in each.parameters.items()}
    vector = fields(object=STRING, index=WHOLE, embedding=one_of(items(NUMBER), BASE64))
    usage = fields(prompt_tokens=WHOLE, total_tokens=WHOLE)
    answer = fields(object=STRING, data=items(vector), model=STRING, usage=usage)
    return Doc(
        summary="A vector for each text",
        bodies={JSON: _body(example, schemas)},
        answers={JSON: answer},
        pipeline_field="model",
    )


def _generated(summary: str, task: Task | None, example: str, schemas: dict[str, Schema], **choice: Schema) -> Doc:
    for each in tasks_of(task, "text"):
        schemas = schemas | field_schemas(each)
    return Doc(
        summary=summary,
        description="The data of an event is a chunk in JSON; that of the last one is [DONE].",
        bodies={JSON: _body(example, schemas)},
        answers={
            JSON: fields(**_COMMON, choices=items(fields(**choice, **_OF_CHOICE)), usage=one_of(_USAGE, NULL)),
            EVENTS: fields("event", data=STRING, event=STRING),
        },
        pipeline_field="model",
    )


def _body(example: str, schemas: dict[str, Schema]) -> Body:
    """With the fields that have no effect. Those of the example are required."""
    schemas = schemas | {name: {"description": "has no effect"} for name in sorted(IGNORED)}
    required: dict[str, Any] = json.loads(example)
    return Body(fields(*(schemas.keys() - required.keys()), **schemas), required)


def tasks_of(task: Task | None, output: Output) -> Iterable[Task]:
    return [each for each in TASKS.values() if each.output == output] if task is None else [task]
