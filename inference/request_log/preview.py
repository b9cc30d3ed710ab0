"""What the request log keeps of a request's inputs and parameters."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from inference.request_log.redaction import Redactor

PREVIEW_CHARS = 200
PARAMETERS_CHARS = 16_000
"""Kept of the parameters where inputs are kept in full."""

_json = json.JSONEncoder(ensure_ascii=False, skipkeys=True, default=str)
_plain_json = json.JSONEncoder(ensure_ascii=False)


class Kept(NamedTuple):
    preview: str = ""
    parameters: str = ""
    complete: bool = False
    """Both are as they were sent, so the request can be run again."""


def kept(inputs: Sequence[object], parameters: Any, mode: str, redactor: Redactor | None = None) -> Kept:
    """Texts for the log. ``mode`` is ``Conf.log_inputs``."""
    if mode == "none":
        return Kept()
    shown, complete = _inputs(inputs, mode, redactor)
    if not parameters:
        return Kept(shown, "", complete)
    text, whole = _parameters(parameters, mode, redactor)
    return Kept(shown, text, complete and whole)


def preview(inputs: Sequence[object], mode: str, redactor: Redactor | None = None) -> str:
    """A text for the log. ``mode`` is ``Conf.log_inputs``; inputs may be any JSON values.

    Whole texts are redacted, before any is cut. Empty if that fails.
    """
    return "" if mode == "none" else _inputs(inputs, mode, redactor)[0]


def _inputs(inputs: Sequence[object], mode: str, redactor: Redactor | None) -> tuple[str, bool]:
    """The text, and whether it says all."""
    if not inputs:
        return "", False
    given = inputs
    if redactor is not None:
        shown = redactor.redacted(list(inputs) if mode == "full" else [inputs[0]])
        if shown is None:
            return "", False
        inputs = [*shown, *inputs[len(shown) :]]
    try:
        if mode == "full":
            text, plain = _full(list(inputs))
            return text, plain and (redactor is None or inputs == list(given))
        beginning = _beginning(inputs[0])
    except (RecursionError, ValueError):  # nested too deeply, or an integer with more digits than Python prints
        beginning = "(not shown)"
    return beginning + (f" (+{len(inputs) - 1} more)" if len(inputs) > 1 else ""), False


def _parameters(parameters: Any, mode: str, redactor: Redactor | None) -> tuple[str, bool]:
    if redactor is not None:
        shown = redactor.redacted(parameters)
        if shown is None:
            return "", False
        redacted, parameters = shown != parameters, shown
    else:
        redacted = False
    try:
        text, plain = _short_json(parameters)
    except (RecursionError, ValueError):
        return "(not shown)", False
    most = PARAMETERS_CHARS if mode == "full" else PREVIEW_CHARS
    if len(text) > most:
        return text[:most] + "…", False
    return text, plain and not redacted


def _short_json(value: Any) -> tuple[str, bool]:
    try:
        return msgspec.json.encode(value).decode(), True
    except (TypeError, ValueError, RecursionError):
        return _full(value)


def _full(value: Any) -> tuple[str, bool]:
    """As JSON, and whether that can be read as the same value."""
    try:
        text = _plain_json.encode(value)
    except TypeError:  # no JSON
        return storable(_json.encode(value)), False
    safe = storable(text)
    return safe, safe == text


def _beginning(value: object) -> str:
    text = ""
    for part in [value] if isinstance(value, str) else _json.iterencode(value):
        text += part
        if len(text) > PREVIEW_CHARS:
            return storable(text[:PREVIEW_CHARS]) + "…"
    return storable(text)


def storable(text: str) -> str:
    """The text without what some databases refuse: NUL (PostgreSQL) and lone surrogates (not valid in UTF-8)."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
