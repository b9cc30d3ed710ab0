"""Tensors of a request: their elements in JSON, or as bytes after the JSON.

Source: https://github.com/kserve/open-inference-protocol and Triton's ``extension_binary_data``.
"""

import math
import struct
from dataclasses import dataclass
from typing import Any

import msgspec

from inference.errors import Invalid
from inference.tasks.media import Media
from inference.tasks.values import json_type

BYTES = "BYTES"
FORMATS = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
"""Of ``struct``, for elements of one size."""
DATATYPES = (*FORMATS, BYTES)
JSON_CONTENT = ("hg_json", "hg_jsonlist")
"""MLServer's content types of tensors whose elements are JSON."""
MOST_DIMENSIONS = 8
_LENGTH = struct.Struct("<I")


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
        elements = _from_bytes(called, datatype, binary.take(called, size), count)
    else:
        elements = _from_json(called, datatype, fields.get("data"))
    if len(elements) != count:
        raise Invalid(f"{called} has {len(elements)} elements; by its shape they are {count}.")
    if parameters.get("content_type") in JSON_CONTENT:
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
        raise Invalid(f"{called} has an element that is not valid JSON; each must be an object or a list.") from None


def text_or_media(data: bytes) -> str | Media:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Media(data)


def write_bytes(elements: list[bytes]) -> bytes:
    """The elements of a tensor of ``BYTES``."""
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))


def _count(called: str, shape: Any, most: int) -> int:
    """How many elements there are. Raises ``Invalid``."""
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise Invalid(f"{called} has a shape that is not a list of whole numbers, such as [2].")
    if len(shape) > MOST_DIMENSIONS:
        raise Invalid(f"{called} has {len(shape)} dimensions; it may have {MOST_DIMENSIONS}.")
    if (count := math.prod(shape)) > most:
        raise Invalid(f"{called} has more than {most} elements by its shape; send fewer.")
    return count


def _from_bytes(called: str, datatype: str, data: bytes, count: int) -> list[Any]:
    if datatype == BYTES:
        return _texts(called, data)
    form = struct.Struct(f"<{count}{FORMATS[datatype]}")
    if form.size != len(data):
        raise Invalid(f"{called} has {len(data)} bytes; by its shape and datatype they are {form.size}.")
    return list(form.unpack(data))


def _texts(called: str, data: bytes) -> list[Any]:
    elements, place = [], 0
    while place < len(data):
        begin = place + _LENGTH.size
        if begin > len(data) or (end := begin + _LENGTH.unpack_from(data, place)[0]) > len(data):
            raise Invalid(f"{called} has an element that ends after its bytes; each begins with its length in 4 bytes.")
        elements.append(text_or_media(data[begin:end]))
        place = end
    return elements


def _from_json(called: str, datatype: str, data: Any) -> list[Any]:
    """The elements of ``data``, which may be flat or nested."""
    if not isinstance(data, list):
        raise Invalid(f"{called} has data that are {json_type(data)}; they must be a list.")
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise Invalid(f"{called} has data of lists and other values; nest all of them, or none.")
        data = [element for row in data for element in row]
    elements: list[Any] = data
    for element in elements:
        if not _fits(datatype, element):
            wanted = "texts" if datatype == BYTES else "booleans" if datatype == "BOOL" else "numbers"
            raise Invalid(f"{called} has an element that is {json_type(element)}; of {datatype} they must be {wanted}.")
    return elements


def _fits(datatype: str, element: Any) -> bool:
    if datatype == BYTES:
        return isinstance(element, str)
    if datatype == "BOOL":
        return isinstance(element, bool)
    numbers = int | float if datatype.startswith("FP") else int
    return isinstance(element, numbers) and not isinstance(element, bool)
