"""Objects with just the properties that a schema names: a small model would go on and on with others."""

from typing import Any

COMBINING = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "$ref", "$dynamicRef"})
OBJECTS = frozenset({"properties", "required", "patternProperties", "additionalProperties"})
OPEN = frozenset({"additionalProperties", "patternProperties", "unevaluatedProperties", "minProperties"})
"""Keywords that say what other properties there may be."""
NAMED = ("properties", "patternProperties", "$defs", "definitions")
LISTED = ("anyOf", "oneOf", "prefixItems")
SINGLE = ("items", "additionalProperties")


class _Combined(Exception):
    """An object's properties come from several places, so none of them has all."""


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """What is valid by it is valid by ``schema``, too. The same, where objects are combined of several schemas."""
    try:
        made = _closed(schema)
    except _Combined:
        return schema
    return made if isinstance(made, dict) else schema


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    combining = schema.keys() & COMBINING
    if len(combining) > 1 or "allOf" in combining or (combining and schema.keys() & OBJECTS):
        raise _Combined
    made = {name: _parts(name, value) for name, value in schema.items()}
    return made | {"additionalProperties": False} if _has_all(schema) else made


def _parts(name: str, value: Any) -> Any:
    if name in NAMED and isinstance(value, dict):
        return {each: _closed(part) for each, part in value.items()}
    if name in LISTED and isinstance(value, list):
        return [_closed(part) for part in value]
    return _closed(value) if name in SINGLE else value


def _has_all(schema: dict[str, Any]) -> bool:
    """It names properties, all of those that are required among them, and says nothing of others."""
    named, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(named, dict) or not isinstance(required, list) or schema.keys() & OPEN:
        return False
    return all(isinstance(each, str) and each in named for each in required)
