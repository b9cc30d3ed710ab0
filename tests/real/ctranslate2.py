"""CTranslate2's format of a model's weights."""

import io
import struct

import torch

VERSION, FLOAT16 = 6, 4


def variables(content: bytes) -> dict[str, torch.Tensor]:
    """The float16 variables: the file has name, shape, type and values of each in turn."""
    file = io.BytesIO(content)

    def number(code: str) -> int:
        return int(struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0])

    def name() -> str:
        return file.read(number("H"))[:-1].decode()

    assert number("I") == VERSION
    _specification, _revision = name(), number("I")
    found = {}
    for _ in range(number("I")):
        variable, shape = name(), [number("I") for _ in range(number("B"))]
        kind, values = number("B"), bytearray(file.read(number("I")))
        if kind == FLOAT16:
            found[variable] = torch.frombuffer(values, dtype=torch.float16).reshape(shape)
    return found
