"""JSON Schema (2020-12) of what clients send and get, which OpenAPI documents are made of."""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "number"}
BASE64: Schema = {"type": "string", "contentEncoding": "base64"}


def text_schema(longest: int) -> Schema:
    """A text of at most so many characters."""
    return TEXT | {"maxLength": longest}


def fields(*optional: str, **properties: Schema) -> Schema:
    """An object with just these fields, all of them required but those that are named ``optional``."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def items(schema: Schema, least: int = 0, most: int | None = None) -> Schema:
    """A list."""
    return {
        "type": "array",
        "items": schema,
        **({"minItems": least} if least else {}),
        **({} if most is None else {"maxItems": most}),
    }


def one_of(*schemas: Schema) -> Schema:
    """A value of any of these."""
    return {"anyOf": list(schemas)}
