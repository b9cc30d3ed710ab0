"""Vectors as clients that compute with them want them: numbers in bytes, which are a third of the size of JSON."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Array:
    """Numbers of 32 bits (float32), little-endian, in C order."""

    shape: tuple[int, ...]
    data: bytes

    def tolist(self) -> list[Any]:
        """The same as nested lists, as JSON has it."""
        return memoryview(self.data).cast("f", self.shape).tolist()
