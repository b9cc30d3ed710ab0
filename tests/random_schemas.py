"""Random JSON Schemas whose values are short: every text, list and number has bounds."""

import random
from typing import Any

WORDS = ["name", "age", "city", "größe", "two words", 'a"quote', "tags", "id", "note", "x"]
DEPTH = 3


def random_schema(chance: random.Random, depth: int = DEPTH) -> dict[str, Any]:
    """An object whose properties are of all kinds."""
    names = chance.sample(WORDS, chance.randint(1, 4))
    required = [name for name in names if chance.random() < 0.7]
    made: dict[str, Any] = {
        "type": "object",
        "properties": {name: _value(chance, depth - 1) for name in names},
        "required": required,
        "additionalProperties": False,
    }
    return made


def _value(chance: random.Random, depth: int) -> dict[str, Any]:
    kinds = [_text, _choice, _whole, _number, _flag, _nothing]
    if depth:
        kinds += [_list, _either, _pair, random_schema]
    return chance.choice(kinds)(chance, depth)


def _text(chance: random.Random, depth: int) -> dict[str, Any]:
    low = chance.randint(0, 3)
    return chance.choice(
        [
            {"type": "string", "minLength": low, "maxLength": low + chance.randint(0, 12)},
            {"type": "string", "pattern": "^[a-z]{2,5}-[0-9]{1,3}$"},
            {"type": "string", "format": chance.choice(["date", "uuid", "ipv4"])},
        ]
    )


def _choice(chance: random.Random, depth: int) -> dict[str, Any]:
    values = ["red", "grün", 3, -1.5, True, None, 'a "b" \\ c', ""]
    return (
        {"enum": chance.sample(values, chance.randint(1, 4))}
        if chance.random() < 0.7
        else {"const": chance.choice(values)}
    )


def _whole(chance: random.Random, depth: int) -> dict[str, Any]:
    low = chance.randint(-200, 200)
    return {"type": "integer", "minimum": low, "maximum": low + chance.randint(0, 1000)}


def _number(chance: random.Random, depth: int) -> dict[str, Any]:
    # Digits after the point have no bound in a number: so all but whole ones come from a list.
    return {"type": "number", "enum": [round(chance.uniform(-10, 10), 2) for _ in range(3)]}


def _flag(chance: random.Random, depth: int) -> dict[str, Any]:
    return {"type": "boolean"}


def _nothing(chance: random.Random, depth: int) -> dict[str, Any]:
    return {"type": ["null", "boolean"]}


def _list(chance: random.Random, depth: int) -> dict[str, Any]:
    low = chance.randint(0, 2)
    return {
        "type": "array",
        "items": _value(chance, depth - 1),
        "minItems": low,
        "maxItems": low + chance.randint(0, 2),
    }


def _either(chance: random.Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [_value(chance, depth - 1) for _ in range(chance.randint(1, 3))]}


def _pair(chance: random.Random, depth: int) -> dict[str, Any]:
    items = [_value(chance, depth - 1) for _ in range(2)]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": 2}
