"""Grammars, and their bounds."""

from typing import Any

import pytest

from inference.tasks.grammars import Grammar, schema_of

KIND = Grammar(longest=400, most_values=100, deepest=10, most_conditions=3, largest_multiple=3000)


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        nested(10),
        {"allOf": [{}, {}], "$ref": "#", "$defs": {"a": {"$ref": "#", "title": "a"}}},
        {"multipleOf": 20, "items": {"multipleOf": 50}},
        {"multipleOf": 0.01},
        {"multipleOf": 0.29, "minimum": -1, "x": [{"multipleOf": True}, {"multipleOf": -5000}]},
        {"enum": list(range(90))},
        {"const": "x" * 300},
        {"properties": {"allOf": {"type": "null"}, "multipleOf": {"type": "null"}}},
    ],
    ids=repr,
)
def test_schemas_within_the_bounds(schema: dict[str, Any]) -> None:
    assert KIND.accepts({"type": "json", "value": schema})
    if schema != nested(10):
        assert KIND.accepts({"type": "json_schema", "value": {"name": "x", "schema": schema}})


@pytest.mark.parametrize(
    "schema",
    [
        nested(11),
        nested(500),
        {"allOf": [{}, {}, {}, {}]},
        {"allOf": [{"allOf": [{}, {}]}, {}]},
        {"items": [{"$ref": "#", "pattern": "a"}] * 4},
        {"multipleOf": 3001},
        {"multipleOf": 0.0001234},
        {"multipleOf": 1e-9},
        {"multipleOf": float("inf")},
        {"multipleOf": 10**400},
        {"allOf": [{"multipleOf": 64}, {"multipleOf": 81}]},
        {"enum": list(range(100))},
        {"const": "x" * 400},
        {"x" * 401: 1},
        {"const": "\ud800"},
        {"\ud800": 1},
        {"const": 2**60},
        {"const": float("nan")},
    ],
)
def test_schemas_beyond_the_bounds(schema: dict[str, Any]) -> None:
    assert not KIND.accepts({"type": "json", "value": schema})


@pytest.mark.parametrize(
    "value",
    [
        None,
        "json",
        {},
        {"type": "json"},
        {"type": "json", "value": "{}"},
        {"type": "json", "value": {}, "more": 1},
        {"type": "json_schema", "value": {}},
        {"type": "regex", "value": ""},
        {"type": "regex", "value": "a" * 401},
        {"type": "regex", "value": "\ud800"},
        {"type": "json_object", "value": {}},
        {"type": "lark", "value": "a"},
    ],
    ids=lambda value: repr(value)[:40],
)
def test_other_values(value: Any) -> None:
    assert not KIND.accepts(value)


def test_schema_of() -> None:
    assert schema_of({"type": "json", "value": {"type": "null"}}) == {"type": "null"}
    assert schema_of({"type": "json_schema", "value": {"schema": {"type": "null"}}}) == {"type": "null"}
    assert schema_of({"type": "json_object"}) == {"type": "object"}
    assert schema_of({"type": "regex", "value": "a"}) is None
