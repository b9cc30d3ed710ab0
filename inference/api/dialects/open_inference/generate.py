"""``POST /v2/models/{pipeline}/generate``: a text in, a text out.

Source: Triton's ``extension_generate``; names of parameters that its backends have are understood.
"""

from typing import Any

import msgspec

from inference.api.dialects.base import Head
from inference.api.dialects.open_inference.adapting import Asked, adapted
from inference.api.dialects.open_inference.body import read_parts
from inference.api.dialects.open_inference.requests import read_id
from inference.api.dialects.open_inference.tensors import read_parameters
from inference.api.dialects.reading import decode_object
from inference.errors import Invalid, Malformed
from inference.messaging.messages import Description
from inference.serving.deployment import Deployment
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks import TASKS
from inference.tasks.values import json_type

EXAMPLE = '{"text_input": "a text", "parameters": {"max_new_tokens": 20}}'
CALLED = {"max_tokens": "max_new_tokens", "random_seed": "seed", "stop_words": "stop"}
"""Names of parameters in TensorRT-LLM's and vLLM's backends."""
FULL_TEXT, WITHOUT_INPUT, STREAM = "return_full_text", "exclude_input_in_output", "stream"


def read_generate(head: Head, body: bytes, deployment: Deployment, deadline_s: float | None, *, stream: bool) -> Query:
    """Raises ``Malformed``, ``Invalid``, ``PayloadTooLarge``, ``UnsupportedMediaType``."""
    text, _ = read_parts(head, body, deployment)
    fields = decode_object(text, example=EXAMPLE)
    if "text_input" not in fields:
        raise Malformed(f"There is no 'text_input'; send an object such as {EXAMPLE}.")
    text_input = fields["text_input"]
    if not isinstance(text_input, str):
        raise Invalid(f"'text_input' is {json_type(text_input)}; it must be a text.")
    beside = {name: value for name, value in fields.items() if name not in ("id", "text_input", "parameters")}
    return Query(
        inputs=[text_input],
        many=False,
        parameters=_parameters(beside | read_parameters("The request", fields.get("parameters"))),
        stream=stream,
        deadline_s=deadline_s,
        state=Asked(read_id(fields), head.pipeline or "", head.arguments.get("version", "")),
        adapt=_adapted,
    )


def text_of(result: RequestResult) -> str:
    task = TASKS[result.description.task]
    output = result.outputs[0]
    text: str = msgspec.json.decode(output)[0][task.text_field]  # type: ignore[arg-type]
    return text


def _parameters(given: dict[str, Any]) -> dict[str, Any]:
    """With the pipelines' names. Where a stream is wanted is said by the path."""
    parameters = {CALLED.get(name, name): value for name, value in given.items() if name != STREAM}
    if (without_input := parameters.pop(WITHOUT_INPUT, None)) is not None:
        if not isinstance(without_input, bool):
            raise Invalid(f"Parameter {WITHOUT_INPUT} is {json_type(without_input)}; it must be true or false.")
        parameters.setdefault(FULL_TEXT, not without_input)
    if isinstance(stop := parameters.get("stop"), str) and not stop.startswith("["):
        parameters["stop"] = [stop]
    return parameters


def _adapted(query: Query, description: Description) -> Query:
    """The text without its prompt, unless the request says otherwise. Raises ``Invalid``, ``NotFound``."""
    asked: Asked = query.state
    task = TASKS[description.task]
    if task.output != "text" or task.input.media:
        raise Invalid(
            f"Pipeline {asked.pipeline} serves {task.name}; …/generate is for pipelines that make texts of texts."
        )
    if task.continues:
        query = query.changed(parameters={FULL_TEXT: False} | query.parameters)
    return adapted(query, description)
