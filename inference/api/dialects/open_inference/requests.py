"""``POST /v2/models/{pipeline}/infer``: which inputs and parameters its tensors are.

Names are those of MLServer's runtime for Hugging Face, of which ``args``, ``array_inputs``, ``inputs`` and
``text_inputs`` are inputs, and others fields of an input or parameters:
https://github.com/SeldonIO/MLServer/tree/master/runtimes/huggingface
"""

from collections.abc import Mapping, Sequence
from typing import Any

from inference.api.dialects.base import Head
from inference.api.dialects.open_inference.adapting import Asked, adapted
from inference.api.dialects.open_inference.body import HEADER_LENGTH, read_parts
from inference.api.dialects.open_inference.elements import BYTES, text_or_media
from inference.api.dialects.open_inference.tensors import OUTPUT, BinaryData, Tensor, read_parameters, read_tensor
from inference.api.dialects.reading import decode_object
from inference.errors import Invalid, Malformed
from inference.serving.deployment import Deployment
from inference.serving.query import Query
from inference.tasks import TASKS
from inference.tasks.values import json_type

EXAMPLE = '{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a text"]}]}'
FIELDS = ("id", "parameters", "inputs", "outputs")
IGNORED_FIELDS = ("model_name", "model_version")
INPUTS = ("args", "array_inputs", "inputs", "text_inputs", "text", "text_pair", "image", "audio")
"""Names of inputs, besides the fields of those that are objects."""
OF_PROTOCOL = frozenset(
    {"binary_data_output", "content_type", "headers", "priority", "sequence_id", "sequence_start", "sequence_end"}
)
"""Parameters that clients send, and that are no pipeline's. The first is heeded, the others have no effect."""
TIMEOUT = "timeout"
"""The parameter with the request's own deadline, in microseconds."""
MOST_ELEMENTS = 4096
"""Of a tensor, where a request may not have even more inputs."""


def read_infer(head: Head, body: bytes, deployment: Deployment, deadline_s: float | None, *, stream: bool) -> Query:
    """Raises ``Malformed``, ``Invalid``, ``PayloadTooLarge``, ``UnsupportedMediaType``."""
    text, more = read_parts(head, body, deployment)
    if not text and head.header(HEADER_LENGTH):  # Triton's raw request: the body is the one element of the one input
        fields: Mapping[str, Any] = {}
        tensors = [Tensor("inputs", BYTES, [text_or_media(more)])]
    else:
        fields = _object(text)
        tensors = _tensors(fields, BinaryData(more), max(MOST_ELEMENTS, deployment.conf.max_inputs))
    parameters = read_parameters("The request", fields.get("parameters"))
    timeout_s = _timeout(parameters.pop(TIMEOUT, None), deployment.conf.max_deadline_s)
    columns, others = _columns(tensors)
    asked = Asked(
        id=read_id(fields),
        pipeline=head.pipeline or "",
        version=head.arguments.get("version", ""),
        binary=_wants_binary(fields, parameters),
        column=columns[0].name if len(columns) == 1 else "",
        tensors={tensor.name: tensor.elements for tensor in others},
    )
    return Query(
        inputs=_rows(columns),
        many=True,
        parameters={name: value for name, value in parameters.items() if name not in OF_PROTOCOL},
        stream=stream,
        deadline_s=timeout_s or deadline_s,
        state=asked,
        adapt=adapted,
    )


def read_id(fields: Mapping[str, Any]) -> str:
    """The client's id of the request, or an empty text. Raises ``Invalid``."""
    given = fields.get("id")
    if not isinstance(given, str | None):
        raise Invalid(f"'id' is {json_type(given)}; it must be a text.")
    return given or ""


def _object(text: bytes) -> dict[str, Any]:
    fields = decode_object(text, example=EXAMPLE)
    for name in fields:
        if name not in FIELDS and name not in IGNORED_FIELDS:
            raise Invalid(f"There is no field {name[:60]!r}; known are: {', '.join(FIELDS)}.")
    return fields


def _tensors(fields: Mapping[str, Any], binary: BinaryData, most: int) -> list[Tensor]:
    if "inputs" not in fields:
        raise Malformed(f"There is no 'inputs'; send an object such as {EXAMPLE}.")
    inputs = fields["inputs"]
    if not isinstance(inputs, list) or not inputs:
        shown = "an empty list" if inputs == [] else json_type(inputs)
        raise Invalid(f"'inputs' is {shown}; it must be a list of tensors, as in {EXAMPLE}.")
    tensors: dict[str, Tensor] = {}
    for number, each in enumerate(inputs):
        tensor = read_tensor(number, each, binary, most)
        if tensor.name in tensors:
            raise Invalid(f"Two inputs are called {tensor.name[:60]!r}; send each once.")
        tensors[tensor.name] = tensor
    binary.check_end()
    return list(tensors.values())


def _timeout(given: Any, longest_s: float) -> float | None:
    """Seconds; 0 is none, as in Triton. Raises ``Invalid``."""
    if given is None or given == 0:
        return None
    most = int(longest_s * 1e6)
    if isinstance(given, bool) or not isinstance(given, int) or not 0 < given <= most:
        shown = given if isinstance(given, int | float) else json_type(given)
        raise Invalid(f"Parameter timeout is {shown}; it must be a number of microseconds from 1 to {most}.")
    return given / 1e6


def _wants_binary(fields: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    """Whether the output is wanted as bytes. Raises ``Invalid`` for an output that there is not."""
    outputs = fields.get("outputs") or []
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise Invalid(f'\'outputs\' is {json_type(outputs)}; it must be a list such as [{{"name": "{OUTPUT}"}}].')
    binary = parameters.get("binary_data_output", False)
    for output in outputs:
        if output.get("name") != OUTPUT:
            raise Invalid(f"There is no output {str(output.get('name'))[:60]!r}; the only one is {OUTPUT!r}.")
        binary = read_parameters(f"The output {OUTPUT!r}", output.get("parameters")).get("binary_data", binary)
    if not isinstance(binary, bool):
        raise Invalid(f"'binary_data' or 'binary_data_output' is {json_type(binary)}; it must be true or false.")
    return binary


def _columns(tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Those that are inputs or fields of inputs, and the others, which are parameters. Raises ``Invalid``."""
    names = {*INPUTS, *_fields_of_inputs()}
    columns = [tensor for tensor in tensors if tensor.name in names]
    if not columns and len(tensors) == 1:
        columns = [*tensors]
    if not columns:
        raise Invalid(f"None of the {len(tensors)} inputs has the name of one; known are {', '.join(sorted(names))}.")
    for column in columns:
        if column.datatype != BYTES:
            raise Invalid(f"The input {column.name[:60]!r} has the datatype {column.datatype}; it must be {BYTES}.")
    chosen = [column.name for column in columns]
    return columns, [tensor for tensor in tensors if tensor.name not in chosen]


def _fields_of_inputs() -> dict[str, Any]:
    """Fields of inputs that are objects, each with an example."""
    examples = (task.example for task in TASKS.values() if isinstance(task.example, dict))
    return {name: value for example in examples for name, value in example.items()}


def _rows(columns: Sequence[Tensor]) -> list[Any]:
    """The inputs: elements of the one column, or objects with an element of each, or with all of a list."""
    if len(columns) == 1:
        return columns[0].elements
    examples = _fields_of_inputs()
    lists = [column for column in columns if _is_list_of_texts(examples.get(column.name))]
    each = [column for column in columns if column not in lists]
    counts = {len(column.elements) for column in each} or {1}
    if len(counts) > 1 or (lists and counts != {1}):
        shown = ", ".join(f"{column.name} {len(column.elements)}" for column in columns)
        raise Invalid(
            f"The inputs have different numbers of elements: {shown}; send one of each for each input, "
            "and one input at a time where it has a list."
        )
    whole = {column.name: column.elements for column in lists}
    names = [column.name for column in each]
    rows = zip(*(column.elements for column in each), strict=True) if each else [()]
    return [dict(zip(names, row, strict=True)) | whole for row in rows]


def _is_list_of_texts(example: Any) -> bool:
    return isinstance(example, list) and all(isinstance(item, str) for item in example)
