"""What is at a path, where some segments stand for a name."""

import re
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
U = TypeVar("U")

PIPELINE = "pipeline"
"""``{pipeline}`` in a path is the name or an alias of a pipeline, which may have one slash."""
_ARGUMENT = re.compile(r"\{(\w+)\}")


class Found(NamedTuple, Generic[T]):
    value: T
    arguments: dict[str, str]
    """What the names in braces stand for."""

    def with_value(self, value: U) -> "Found[U]":
        return Found(value, self.arguments)


class Paths(Generic[T]):
    """A table by path. Of several paths that match, the one with the most literal characters counts."""

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        entries = list(entries)
        self._exact = {without_slash(path): value for path, value in entries if "{" not in path}
        patterns = [(path, value) for path, value in entries if "{" in path]
        patterns.sort(key=lambda entry: -len(_ARGUMENT.sub("", entry[0])))
        self._patterns = [(_compiled(path), value) for path, value in patterns]

    def find(self, path: str) -> Found[T] | None:
        """A slash at the end makes no difference."""
        path = without_slash(path)
        if (value := self._exact.get(path)) is not None:
            return Found(value, {})
        for pattern, value in self._patterns:
            if match := pattern.fullmatch(path):
                return Found(value, match.groupdict())
        return None


def without_slash(path: str) -> str:
    """Without one slash at the end, unless that is all."""
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


def filled(path: str, pipeline: str) -> str:
    """The path with the name of a pipeline in it."""
    return path.replace(f"{{{PIPELINE}}}", pipeline)


def _compiled(path: str) -> re.Pattern[str]:
    literals = _ARGUMENT.split(path)  # literal, name, literal, …
    for number in range(1, len(literals), 2):
        name = literals[number]
        literals[number] = f"(?P<{name}>[^/]+(?:/[^/]+)?)" if name == PIPELINE else f"(?P<{name}>[^/]+)"
    literals[::2] = map(re.escape, literals[::2])
    return re.compile("".join(literals))
