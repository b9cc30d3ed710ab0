"""Grammars that a generated text follows, as text-generation-inference has them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from inference.tasks.schemas import Schema, fields, one_of, text_schema
from inference.tasks.values import is_encodable

EXAMPLE = '{"type": "json", "value": {"type": "object"}}'
MOST_NUMBER = 2**53
"""JSON numbers are exact up to here."""
BESIDE_REFERENCE = frozenset({"title", "description", "default", "examples", "deprecated", "$comment", "$defs", "$id"})
"""Keywords beside ``$ref`` that add no condition."""


@dataclass(frozen=True)
class Grammar:
    """An object such as ``EXAMPLE``, or ``{"type": "regex", "value": "[a-z]+"}``, or ``{"type": "json_object"}``.

    Its bounds are those of the time and memory that a worker may need for it: where several conditions hold for the
    same value, as by ``allOf``, a state machine that is their product is made; so is one for ``multipleOf``, with as
    many states as the number.
    """

    longest: int = 32_000
    """Characters of all texts in it."""
    most_values: int = 2000
    deepest: int = 64
    most_conditions: int = 12
    """Parts of ``allOf``, and references with other keywords beside them."""
    largest_multiple: int = 10_000
    """Of numbers in ``multipleOf``: their least common multiple, in units of which all are whole ones."""

    def accepts(self, value: Any) -> bool:
        match value:
            case {"type": "json", "value": dict(schema), **more} if not more:
                return self._is_bounded(schema)
            case {"type": "json_schema", "value": {"schema": dict(schema)}, **more} if not more:
                return self._is_bounded(value)
            case {"type": "regex", "value": str(regex), **more} if not more:
                return 0 < len(regex) <= self.longest and is_encodable(regex)
            case {"type": "json_object", **more}:
                return not more
        return False

    def schema(self) -> Schema:
        return one_of(
            fields(type={"const": "json"}, value={"type": "object"}),
            fields(type={"const": "json_schema"}, value={"type": "object", "required": ["schema"]}),
            fields(type={"const": "regex"}, value=text_schema(self.longest)),
            fields(type={"const": "json_object"}),
        )

    def __str__(self) -> str:
        return (
            f"an object such as {EXAMPLE}, whose type is json, json_schema, regex or json_object, "
            f"with at most {self.longest} characters, {self.most_values} values, {self.deepest} levels, "
            f"{self.most_conditions} parts of allOf, and multipleOf to {self.largest_multiple}"
        )

    def _is_bounded(self, schema: dict[str, Any]) -> bool:
        characters = conditions = 0
        multiple = parts = 1
        for values, (level, value) in enumerate(walk(schema), start=1):
            if isinstance(value, str):
                characters += len(value)
            elif isinstance(value, dict):
                characters += sum(map(len, value))
                conditions += _conditions(value)
                step = _multiple(value.get("multipleOf"))
                multiple, parts = math.lcm(multiple, step.numerator), math.lcm(parts, step.denominator)
            if (
                characters > self.longest
                or values > self.most_values
                or level > self.deepest
                or conditions > self.most_conditions
                or multiple * parts > self.largest_multiple
                or not is_sendable(value)
            ):
                return False
        return True


def schema_of(grammar: dict[str, Any]) -> dict[str, Any] | None:
    """Of a valid grammar; ``None`` where it is a regular expression."""
    match grammar:
        case {"type": "json", "value": dict(schema)} | {"type": "json_schema", "value": {"schema": dict(schema)}}:
            return schema
        case {"type": "json_object"}:
            return {"type": "object"}
    return None


def walk(value: Any) -> Iterator[tuple[int, Any]]:
    """Each value with its depth, without recursion, as nobody has counted the levels yet."""
    waiting = [(0, value)]
    while waiting:
        level, value = waiting.pop()
        yield level, value
        if isinstance(value, dict | list):
            waiting += [(level + 1, each) for each in (value.values() if isinstance(value, dict) else value)]


def _conditions(schema: dict[str, Any]) -> int:
    parts = schema.get("allOf")
    referring = isinstance(schema.get("$ref"), str) and not schema.keys() <= BESIDE_REFERENCE | {"$ref"}
    return referring + (len(parts) if isinstance(parts, list) else 0)


def _multiple(number: Any) -> Fraction:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= MOST_NUMBER:
        return Fraction(1)
    return Fraction(repr(number))


def is_sendable(value: Any) -> bool:
    """Whether it can be put into a message, and read from it as it is."""
    if isinstance(value, str):
        return is_encodable(value)
    if isinstance(value, dict):
        return all(map(is_encodable, value))
    return not isinstance(value, int | float) or -MOST_NUMBER <= value <= MOST_NUMBER
