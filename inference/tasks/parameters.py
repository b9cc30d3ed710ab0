"""Parameters of tasks: their types, bounds and meanings."""

from dataclasses import dataclass
from typing import Any, Protocol

from inference.tasks.schemas import Schema, items, text_schema
from inference.tasks.values import is_encodable


class Kind(Protocol):
    """The values that a parameter may have."""

    def accepts(self, value: Any) -> bool: ...

    def schema(self) -> Schema:
        """What is right, as JSON Schema, as far as that can say it."""
        ...

    def __str__(self) -> str:
        """What is right, in words."""
        ...


@dataclass(frozen=True)
class Whole:
    low: int
    high: int

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Number:
    low: float
    high: float

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def schema(self) -> Schema:
        return {"type": "number", "minimum": self.low, "maximum": self.high}

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Flag:
    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)

    def schema(self) -> Schema:
        return {"type": "boolean"}

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Choice:
    values: tuple[str, ...]

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.values

    def schema(self) -> Schema:
        return {"enum": list(self.values)}

    def __str__(self) -> str:
        return "one of " + ", ".join(self.values)


@dataclass(frozen=True)
class Name:
    longest: int

    def accepts(self, value: Any) -> bool:
        return _is_text(value, self.longest)

    def schema(self) -> Schema:
        return text_schema(self.longest)

    def __str__(self) -> str:
        return f"a text of at most {self.longest} characters"


@dataclass(frozen=True)
class Template:
    """For ``str.format``: other fields than ``{}`` could name attributes, or a width that fills the memory."""

    longest: int

    def accepts(self, value: Any) -> bool:
        return _is_text(value, self.longest) and "{}" in value and value.count("{") == value.count("}") == 1

    def schema(self) -> Schema:
        return text_schema(self.longest) | {"pattern": r"^[^{}]*\{\}[^{}]*$"}

    def __str__(self) -> str:
        return f"a text of at most {self.longest} characters with one {{}} and no other braces"


@dataclass(frozen=True)
class Text:
    longest: int

    def accepts(self, value: Any) -> bool:
        return _is_text(value, self.longest)

    def schema(self) -> Schema:
        return text_schema(self.longest)

    def __str__(self) -> str:
        return f"a text of at most {self.longest} characters"


@dataclass(frozen=True)
class Texts:
    most: int
    longest: int

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, list) or not 0 < len(value) <= self.most:
            return False
        return all(_is_text(item, self.longest) for item in value)

    def schema(self) -> Schema:
        return items(text_schema(self.longest), 1, self.most)

    def __str__(self) -> str:
        return f"a list of 1 to {self.most} texts of at most {self.longest} characters"


@dataclass(frozen=True)
class WordBoxes:
    """Words on a page, each with left, top, right and bottom of its box."""

    most: int
    longest: int
    high: int

    def accepts(self, value: Any) -> bool:
        return isinstance(value, list) and 0 < len(value) <= self.most and all(map(self._is_word, value))

    def schema(self) -> Schema:
        side = Whole(0, self.high).schema()
        box = items(side, 4, 4)
        word = {"type": "array", "prefixItems": [text_schema(self.longest), box], "minItems": 2, "maxItems": 2}
        return items(word, 1, self.most)

    def __str__(self) -> str:
        return (
            f"a list of 1 to {self.most} words of at most {self.longest} characters with their boxes, such as "
            f'[["word", [0, 0, 100, 20]]]: left, top, right and bottom, from 0 to {self.high}'
        )

    def _is_word(self, value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) == 2
            and _is_text(value[0], self.longest)
            and isinstance(value[1], list)
            and len(value[1]) == 4
            and all(Whole(0, self.high).accepts(side) for side in value[1])
            and value[1][0] <= value[1][2]
            and value[1][1] <= value[1][3]
        )


WORD_BOXES = WordBoxes(10_000, 200, 1000)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    kind: Kind
    meaning: str
    required: bool = False
    within_vocabulary: bool = False
    """A number that must not exceed the words in the model's vocabulary, or an object with ids of some of them."""
    takes_long: bool = False
    """Inputs may be longer than the model takes, unless its value is false or ``base.REFUSED``."""


TRUNCATE = Parameter(kind=Flag(), meaning="cut what is too long for the model instead of refusing it", takes_long=True)
TRUNCATION_DIRECTION = Parameter(kind=Choice(("left", "right")), meaning="the end that is cut off")


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and is_encodable(value)
