"""Which objects are closed."""

from typing import Any

import pytest

from inference.backends.transformers.generation.closed_schema import closed

A = {"properties": {"a": {"type": "null"}}, "required": ["a"]}
CLOSED = A | {"additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        (A, CLOSED),
        ({"items": A, "enum": [A]}, {"items": CLOSED, "enum": [A]}),
        ({"prefixItems": [A, True]}, {"prefixItems": [CLOSED, True]}),
        ({"anyOf": [A, {"type": "null"}], "title": "x"}, {"anyOf": [CLOSED, {"type": "null"}], "title": "x"}),
        ({"$defs": {"A": A}, "$ref": "#/$defs/A"}, {"$defs": {"A": CLOSED}, "$ref": "#/$defs/A"}),
        (
            {"properties": {"properties": A}},
            {"properties": {"properties": CLOSED}, "additionalProperties": False},
        ),
        ({"additionalProperties": A}, {"additionalProperties": CLOSED}),
    ],
)
def test_objects_are_closed(schema: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert closed(schema) == wanted


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        A | {"additionalProperties": True},
        A | {"patternProperties": {"x": {}}},
        A | {"minProperties": 2},
        A | {"required": ["b"]},
        A | {"required": "a"},
        A | {"anyOf": [{"required": ["b"]}]},
        {"allOf": [A, A]},
        {"items": {"$ref": "#/$defs/A", "properties": {"b": {}}}, "$defs": {"A": A}},
        {"anyOf": [A], "oneOf": [A]},
        {"properties": None, "items": [A], "anyOf": 3},
    ],
    ids=repr,
)
def test_others_stay_open(schema: dict[str, Any]) -> None:
    assert closed(schema) == schema
