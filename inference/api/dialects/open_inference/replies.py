"""Answers: one output, whose elements are the pipeline's answers to the inputs."""

import base64
from typing import Any, NamedTuple

import msgspec

from inference.api.dialects.base import Headers, Reply
from inference.api.dialects.open_inference.adapting import Asked
from inference.api.dialects.open_inference.body import HEADER_LENGTH
from inference.api.dialects.open_inference.elements import BYTES, write_bytes
from inference.api.dialects.open_inference.tensors import BASE64, JSON_LIST, OUTPUT
from inference.errors import InferenceError, Invalid
from inference.serving.context import RequestContext
from inference.serving.result import RequestResult
from inference.tasks import TASKS
from inference.tasks.arrays import Array
from inference.tasks.media import Media


class Output(NamedTuple):
    datatype: str
    shape: list[int]
    elements: list[bytes]
    """For numbers, all of them in one."""
    content_type: str = ""

    def as_bytes(self) -> bytes:
        return write_bytes(self.elements) if self.datatype == BYTES else self.elements[0]

    def as_json(self) -> list[Any]:
        if self.datatype != BYTES:
            return memoryview(self.elements[0]).cast("f").tolist()
        if self.content_type == BASE64:
            return [base64.b64encode(element).decode() for element in self.elements]
        return [element.decode() for element in self.elements]


def write_headers(context: RequestContext, content_type: str = "application/json") -> Headers:
    return [(b"content-type", content_type.encode()), (b"x-request-id", context.id.encode())]


def write_json(context: RequestContext, value: Any, status: int = 200) -> Reply:
    return Reply(status, write_headers(context), msgspec.json.encode(value))


def served_fields(asked: Asked, request_id: str) -> dict[str, Any]:
    """Who has answered, and what."""
    return {"model_name": asked.pipeline, "model_version": asked.served, "id": asked.id or request_id}


def write_result(context: RequestContext, result: RequestResult) -> Reply:
    """Raises ``Invalid`` for vectors that make no tensor."""
    asked: Asked = result.query.state
    output = output_of(result)
    parameters: dict[str, Any] = {"content_type": output.content_type} if output.content_type else {}
    fields = {"name": OUTPUT, "datatype": output.datatype, "shape": output.shape, "parameters": parameters}
    answer = served_fields(asked, context.id) | {"outputs": [fields]}
    if not asked.binary:
        fields["data"] = output.as_json()
        return write_json(context, answer)
    data = output.as_bytes()
    parameters["binary_data_size"] = len(data)
    text = msgspec.json.encode(answer)
    headers = write_headers(context, "application/octet-stream")
    return Reply(200, [*headers, (HEADER_LENGTH, b"%d" % len(text))], text + data)


def output_of(result: RequestResult) -> Output:
    """One element for each input: JSON, or media; or the numbers of all. Raises ``Invalid``."""
    outputs = result.outputs
    if arrays := [output for output in outputs if isinstance(output, Array)]:
        return _tensor(arrays)
    media = [output.data for output in outputs if isinstance(output, Media)]
    elements = media or [_element(result, output) for output in outputs if isinstance(output, bytes)]
    return Output(BYTES, [len(outputs), 1], elements, BASE64 if media else JSON_LIST)


def _tensor(arrays: list[Array]) -> Output:
    shapes = {array.shape[1:] if len(array.shape) > 1 and array.shape[0] == 1 else array.shape for array in arrays}
    if len(shapes) > 1:
        shown = " and ".join(sorted(str(list(shape)) for shape in shapes)[:2])
        raise Invalid(
            f"Vectors of these inputs have the shapes {shown}, which make no tensor; "
            "send one input, or choose a pooling other than none."
        )
    return Output("FP32", [len(arrays), *shapes.pop()], [b"".join(array.data for array in arrays)])


def _element(result: RequestResult, output: bytes) -> bytes:
    """The answer to one input; as in MLServer, of a list that has one entry unless the request wants more, that one."""
    kind = TASKS[result.description.task].output
    if kind == "text" or (kind == "labels" and "top_k" not in result.query.parameters):
        entries = msgspec.json.decode(output, type=list[msgspec.Raw]) if output.startswith(b"[") else []
        if len(entries) == 1:
            return bytes(entries[0])
    return output


def write_error(context: RequestContext, error: InferenceError) -> Reply:
    """What cannot be taken is 400, the status that the protocol documents."""
    reply = write_json(context, {"error": error.message}, 400 if isinstance(error, Invalid) else error.status)
    if error.retry_after_s is not None:
        reply.headers.append((b"retry-after", b"%d" % error.retry_after_s))
    return reply
