"""Values of a client's JSON."""

from typing import Any

from inference.tasks.media import Media

_NAMES = {
    Media: "an image or a recording",
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    type(None): "null",
}


def json_type(value: Any) -> str:
    """The JSON type of a value, in words, for messages to clients."""
    return _NAMES.get(type(value), "a number")


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can represent it; Python's own ``json`` also reads half surrogate pairs, which cannot be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
