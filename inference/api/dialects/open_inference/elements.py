"""The elements of a tensor, in JSON or in bytes.

Source: Triton's ``extension_binary_data``.
"""

import struct
from typing import Any

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
_LENGTH = struct.Struct("<I")
"""Before each element of ``BYTES``: its size."""


def read_bytes(called: str, datatype: str, data: bytes, count: int) -> list[Any]:
    """``count``: of the elements, by the tensor's shape; there may be more or fewer. Raises ``Invalid``."""
    if datatype == BYTES:
        return _texts(called, data, count)
    form = struct.Struct(f"<{count}{FORMATS[datatype]}")
    if form.size != len(data):
        raise Invalid(f"{called} has {len(data)} bytes; by its shape and datatype they are {form.size}.")
    return list(form.unpack(data))


def read_data(called: str, datatype: str, data: Any, count: int) -> list[Any]:
    """The same, of ``data``, which may be flat or nested."""
    if not isinstance(data, list):
        raise Invalid(f"{called} has data that are {json_type(data)}; they must be a list.")
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise Invalid(f"{called} has data of lists and other values; nest all of them, or none.")
        data = [element for row in data for element in row]
    elements: list[Any] = data
    for element in elements[:count]:
        if not _fits(datatype, element):
            wanted = "texts" if datatype == BYTES else "booleans" if datatype == "BOOL" else "numbers"
            raise Invalid(f"{called} has an element that is {json_type(element)}; of {datatype} they must be {wanted}.")
    return elements


def _texts(called: str, data: bytes, count: int) -> list[Any]:
    elements: list[Any] = []
    place = 0
    while place < len(data) and len(elements) <= count:
        begin = place + _LENGTH.size
        if begin > len(data) or (end := begin + _LENGTH.unpack_from(data, place)[0]) > len(data):
            raise Invalid(f"{called} has an element that ends after its bytes; each begins with its length in 4 bytes.")
        elements.append(text_or_media(data[begin:end]))
        place = end
    return elements


def _fits(datatype: str, element: Any) -> bool:
    if datatype == BYTES:
        return isinstance(element, str)
    if datatype == "BOOL":
        return isinstance(element, bool)
    numbers = int | float if datatype.startswith("FP") else int
    return isinstance(element, numbers) and not isinstance(element, bool)


def text_or_media(data: bytes) -> str | Media:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Media(data)


def write_bytes(elements: list[bytes]) -> bytes:
    """The elements of a tensor of ``BYTES``."""
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))
