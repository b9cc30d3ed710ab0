"""Fields that HTTP bodies and WebSocket frames have in common."""

from collections.abc import Collection
from typing import Any

from inference.api.dialects.reading import EXAMPLE
from inference.errors import Invalid, Malformed
from inference.serving.query import Query
from inference.tasks.values import json_type

FIELDS = ("inputs", "parameters", "stream", "options")
"""``options`` belonged to the hosted Inference API; it is accepted and has no effect."""

ANSWER_PARAMETERS = frozenset({"details", "decoder_input_details"})
"""Sent by clients of text-generation-inference among the parameters of the pipeline."""


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
