"""What the OpenAPI document says of ``POST /``."""

from inference.api.dialects.doc import EVENTS, JSON, TEXT, Body, Doc, Given, events, parameters_schema
from inference.tasks.base import Task
from inference.tasks.inputs import MediaInput
from inference.tasks.outputs import OUTPUTS, STRING, WHOLE
from inference.tasks.schemas import BASE64, Schema, fields, items, one_of
from inference.tasks.schemas import TEXT as A_TEXT

_OBJECT: Schema = {"type": "object"}
_NULL: Schema = {"type": "null"}
ERROR = fields(error=STRING, error_type=STRING)
_GIVEN = (
    Given("format", "query", {"enum": ["pipeline"]}, "answer JSON and media as the pipeline does, as texts are"),
    Given("prefer", "header", STRING, "`return=partial`: an error takes the place of an answer in a list"),
)
_OPTIONAL = ("parameters", "stream", "options")
_STREAM: Schema = {"type": "boolean", "description": "answer with an event for each token; for one input"}
_DETAILS: Schema = {"type": "boolean", "description": "tell the tokens, and why the text ended; for one input"}
_OPTIONS: Schema = _OBJECT | {"description": "has no effect"}
_EVENT = fields(
    "top_tokens",
    index=WHOLE,
    token=_OBJECT,
    generated_text=one_of(STRING, _NULL),
    details=one_of(_OBJECT, _NULL),
    top_tokens=items(_OBJECT),
)


def describe(task: Task | None) -> Doc:
    return Doc(
        summary="Run the pipeline" if task is None else f"Run {task.name}",
        description="A list of inputs gets the list of their answers. Texts get the answers of the pipeline, JSON and "
        "media what the clients of Hugging Face read, which for some tasks has a list around it.",
        bodies=_bodies(task),
        answers=_answers(task),
        given=_GIVEN,
    )


def _bodies(task: Task | None) -> dict[str, Body]:
    bodies = {JSON: _json(task)}
    if task is None or (task.input.plain and not task.needs_parameters):
        bodies[TEXT] = Body(A_TEXT, task.example if task and isinstance(task.example, str) else None)
    if task is not None and isinstance(task.input, MediaInput) and not task.needs_parameters:
        bodies[f"{task.input.kind}/*"] = Body({})
    return bodies


def _json(task: Task | None) -> Body:
    if task is None:
        return Body(fields(*_OPTIONAL, inputs={}, parameters=_OBJECT, stream=_STREAM, options=_OPTIONS))
    form, parameters = task.input.schema(), parameters_schema(task)
    optional = _OPTIONAL if not task.needs_parameters else _OPTIONAL[1:]
    properties = {"inputs": one_of(form, items(form, 1)), "parameters": parameters, "options": _OPTIONS}
    if _streams(task):
        parameters["properties"]["details"] = _DETAILS
        properties["stream"] = _STREAM
    given = {"parameters": dict(task.example_parameters)} if task.example_parameters else {}
    return Body(fields(*optional, **properties), {"inputs": task.example} | given)


def _answers(task: Task | None) -> dict[str, Schema]:
    if task is None:
        return {JSON: {}, EVENTS: events(_EVENT)}
    if task.output == "media":
        return {"audio/*": {}, JSON: items(one_of(fields(**{"content-type": STRING, "blob": BASE64}), ERROR))}
    answer = _texts(task) if task.output == "text" else OUTPUTS[task.output]
    answers = {JSON: one_of(answer, items(one_of(answer, ERROR)))}
    return answers | {EVENTS: events(_EVENT)} if _streams(task) else answers


def _texts(task: Task) -> Schema:
    """A list of one text, or that text alone for clients that read no list."""
    text = fields("details", **{task.text_field: one_of(STRING, items(_OBJECT))}, details=_OBJECT)
    return one_of(items(text), text)


def _streams(task: Task) -> bool:
    """Whether pipelines of the task may."""
    return task.output == "transcript" or (task.output == "text" and not task.input.media)
