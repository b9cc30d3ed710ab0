"""JSON Schema in words."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

Schema = dict[str, Any]


class Row(NamedTuple):
    """A field of an object."""

    name: str
    """With the names of the objects around it."""
    kind: str
    required: bool
    meaning: str


def rows(schema: Schema, within: str = "") -> Iterator[Row]:
    """The fields of an object and of the objects in it; none for anything else."""
    for name, field in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        inner = list(rows(field, f"{within}{name}."))
        yield Row(within + name, "object" if inner else in_words(field), required, field.get("description", ""))
        yield from inner


def in_words(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return ("one of " if len(values) > 1 else "") + ", ".join(map(_value, values))
    if choices := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(dict.fromkeys(map(in_words, choices)))
    return _of_type(schema, schema.get("type", "any"))


def _of_type(schema: Schema, kind: str | list[str]) -> str:
    match kind:
        case "array":
            return _list(schema)
        case "object":
            names = ", ".join(schema.get("properties", {}))
            return f"{{{names}}}" if names else "object"
        case "integer" | "number":
            return kind + _bounds(schema)
        case "string":
            text = "base64" if "contentEncoding" in schema else "text"
            return text + (f" of at most {schema['maxLength']} characters" if "maxLength" in schema else "")
        case list():
            return " or ".join(_of_type(schema, each) for each in kind)
    return kind


def _list(schema: Schema) -> str:
    item = in_words(schema["items"]) if schema.get("items") else "any"
    most = f" (at most {schema['maxItems']})" if "maxItems" in schema else ""
    return f"[{item}, …]{most}"


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    parts = (("from", low), ("above", above), ("to", high))
    return "".join(f" {word} {_value(bound)}" for word, bound in parts if bound is not None)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
