"""Fields that HTTP bodies and WebSocket frames have in common, and reading JSON."""

import math
from collections.abc import Collection
from typing import Any

import msgspec

from inference.errors import Invalid, Malformed
from inference.serving.query import Query
from inference.tasks.values import json_type

EXAMPLE = '{"inputs": "a text"}'
FIELDS = ("inputs", "parameters", "stream", "options")
"""``options`` belonged to the hosted Inference API; it is accepted and has no effect."""

ANSWER_PARAMETERS = frozenset({"details", "decoder_input_details"})
"""Sent by clients of text-generation-inference among the parameters of the pipeline."""

_decoder = msgspec.json.Decoder()


def decode_object(text: bytes | str, *, hint: str = "") -> dict[str, Any]:
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
        raise Malformed(f"The JSON is {json_type(value)}; it must be an object such as {EXAMPLE}.{hint}")
    return value


def read_query(fields: dict[str, Any], *, also: Collection[str] = (), **query: Any) -> Query:
    """The fields of a request; ``query``: fields of the ``Query`` that are known otherwise.

    Raises:
        Malformed: no ``inputs``.
        Invalid: a field that does not exist, or of a wrong type.
    """
    for name in fields:
        if name not in FIELDS and name not in also:
            known = ", ".join(field for field in (*also, *FIELDS) if field != "options")
            raise Invalid(f"There is no field {name[:60]!r}; known are: {known}.")
    if "inputs" not in fields:
        raise Malformed(f"There is no 'inputs'; send an object such as {EXAMPLE}.")
    inputs, stream = fields["inputs"], fields.get("stream")
    if not (stream is None or isinstance(stream, bool)):
        raise Invalid(f"'stream' is {json_type(stream)}; it must be true or false.")
    parameters, details = _take_details(fields.get("parameters"))
    tokens_for = "stream" if stream else "details" if details else None
    return Query.of(inputs, parameters=parameters, stream=bool(stream), tokens_for=tokens_for, **query)


def _take_details(parameters: Any) -> tuple[Any, bool]:
    """``parameters`` without those that only shape the answer, and whether ``details`` are asked for."""
    if not isinstance(parameters, dict) or ANSWER_PARAMETERS.isdisjoint(parameters):
        return parameters, False
    details, input_details = (parameters.get(name) for name in ("details", "decoder_input_details"))
    if not (details is None or isinstance(details, bool)):
        raise Invalid(f"Parameter details is {json_type(details)}; it must be true or false.")
    if not (input_details is None or input_details is False):
        raise Invalid("Parameter decoder_input_details must be false; the prompt's tokens have no details here.")
    return {name: value for name, value in parameters.items() if name not in ANSWER_PARAMETERS}, bool(details)


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
