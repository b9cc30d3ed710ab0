"""Tensors of a request: their elements in JSON, or as bytes after the JSON."""

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from inference.api.dialects.open_inference.elements import DATATYPES, read_bytes, read_data
from inference.errors import Invalid
from inference.tasks.values import json_type

TEXT, JSON, JSON_LIST, BASE64 = "str", "hg_json", "hg_jsonlist", "base64"
"""MLServer's content types of elements."""
OUTPUT = "output"
"""Name of the one output."""
MOST_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    datatype: str
    elements: list[Any]
    """In order: numbers, booleans, texts; JSON values where the content type says so; ``Media`` for other bytes."""


class BinaryData:
    """What comes after the JSON: the bytes of some tensors, in their order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._taken = 0

    def take(self, called: str, size: Any) -> bytes:
        """Raises ``Invalid``."""
        left = len(self._data) - self._taken
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= left:
            shown = size if isinstance(size, int) else json_type(size)
            raise Invalid(f"{called} has the binary_data_size {shown}; {left} bytes are left of the body.")
        self._taken += size
        return self._data[self._taken - size : self._taken]

    def check_end(self) -> None:
        """Raises ``Invalid``."""
        if left := len(self._data) - self._taken:
            raise Invalid(f"{left} bytes at the end of the body belong to no input; binary_data_size says how many do.")


def read_tensor(number: int, fields: Any, binary: BinaryData, most: int) -> Tensor:
    """One of the ``inputs``.

    Args:
        most: elements that it may have.

    Raises:
        Invalid: one sentence that names the tensor and what would be right.
    """
    called = f"inputs[{number}]"
    if not isinstance(fields, dict):
        raise Invalid(f"{called} is {json_type(fields)}; it must be an object with name, shape, datatype and data.")
    name, datatype = fields.get("name"), fields.get("datatype")
    if not isinstance(name, str):
        raise Invalid(f"{called} has a name that is {json_type(name)}; it must be a text.")
    called = f"The input {name[:60]!r}"
    if datatype not in DATATYPES:
        shown = repr(datatype[:60]) if isinstance(datatype, str) else json_type(datatype)
        raise Invalid(f"{called} has the datatype {shown}; it must be one of {', '.join(DATATYPES)}.")
    count = _count(called, fields.get("shape"), most)
    parameters = read_parameters(called, fields.get("parameters"))
    if (size := parameters.get("binary_data_size")) is not None:
        elements = read_bytes(called, datatype, binary.take(called, size), count)
    else:
        elements = read_data(called, datatype, fields.get("data"), count)
    if len(elements) != count:
        raise Invalid(f"{called} has {len(elements)} elements; by its shape they are {count}.")
    if parameters.get("content_type") in (JSON, JSON_LIST):
        elements = [from_json(called, element) for element in elements]
    return Tensor(name, datatype, elements)


def read_parameters(where: str, value: Any) -> dict[str, Any]:
    """The ``parameters`` of a request, an input or an output. Raises ``Invalid``."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(f"{where} has parameters that are {json_type(value)}; they must be an object.")
    return value


def from_json(called: str, element: Any) -> Any:
    """The value of an element that is JSON; one that is no text stays as it is. Raises ``Invalid``."""
    if not isinstance(element, str):
        return element
    try:
        return msgspec.json.decode(element)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Invalid(f"{called} has a text that is not valid JSON; it must be an object or a list.") from None


def _count(called: str, shape: Any, most: int) -> int:
    """How many elements there are. Raises ``Invalid``."""
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise Invalid(f"{called} has a shape that is not a list of whole numbers, such as [2].")
    if len(shape) > MOST_DIMENSIONS:
        raise Invalid(f"{called} has {len(shape)} dimensions; it may have {MOST_DIMENSIONS}.")
    if (count := math.prod(shape)) > most:
        raise Invalid(f"{called} has more than {most} elements by its shape; send fewer.")
    return count
