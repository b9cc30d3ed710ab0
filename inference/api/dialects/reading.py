"""What dialects read alike: JSON objects, and the deadline in a header."""

import math
from typing import Any

import msgspec

from inference.errors import Invalid, Malformed
from inference.tasks.values import json_type

EXAMPLE = '{"inputs": "a text"}'
DEADLINE_HEADER = "x-request-timeout-seconds"

_decoder = msgspec.json.Decoder()


class DeadlineInHeader:
    """The part of an ``Endpoint`` that reads the request's own deadline, in seconds, from ``DEADLINE_HEADER``."""

    deadline_header = DEADLINE_HEADER.encode()

    def deadline_s(self, given: str, longest_s: float) -> float | None:
        return read_deadline(given or None, DEADLINE_HEADER, longest_s)


def decode_object(text: bytes | str, *, hint: str = "", example: str = EXAMPLE) -> dict[str, Any]:
    """A JSON object.

    Raises:
        Malformed: it does not parse, or is something else.
    """
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise Malformed("The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Malformed(f"This is not valid JSON: {_reason(error)}.{hint}") from None
    if not isinstance(value, dict):
        raise Malformed(f"The JSON is {json_type(value)}; it must be an object such as {example}.{hint}")
    return value


def read_deadline(value: Any, name: str, longest_s: float) -> float | None:
    """Seconds until a request's own deadline; ``None`` stays ``None``. A text is read as a number.

    Raises:
        Invalid: not a number above 0 and at most ``longest_s``.
    """
    if value is None:
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds <= longest_s:
        shown = repr(str(value)[:60]) if isinstance(value, str | int | float) else json_type(value)
        raise Invalid(f"{name} is {shown}; it must be a number above 0 and at most {longest_s:g}.")
    return seconds


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    return str(error).removeprefix("JSON is malformed: ")
