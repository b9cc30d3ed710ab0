"""Which tokens are to come more, or less, often."""

from dataclasses import dataclass
from typing import Any

from inference.tasks.parameters import Number
from inference.tasks.schemas import Schema

LONGEST = 9
"""Digits of the largest id: no vocabulary is near it."""


@dataclass(frozen=True)
class TokenBiases:
    """An object of numbers by the ids of tokens, which are texts as all names of JSON are."""

    most: int
    bias: Number

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, dict) or len(value) > self.most:
            return False
        return all(_is_id(token) and self.bias.accepts(bias) for token, bias in value.items())

    def schema(self) -> Schema:
        return {
            "type": "object",
            "propertyNames": {"pattern": r"^(0|[1-9][0-9]*)$", "maxLength": LONGEST},
            "additionalProperties": self.bias.schema(),
            "maxProperties": self.most,
        }

    def __str__(self) -> str:
        return f'an object of at most {self.most} token ids, each with {self.bias}, such as {{"17": {self.bias.low:g}}}'


def _is_id(token: str) -> bool:
    return len(token) <= LONGEST and token.isdecimal() and token == str(int(token))
