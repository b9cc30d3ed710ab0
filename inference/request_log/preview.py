"""The part of a request's inputs that the request log keeps."""

import json
from collections.abc import Sequence

from inference.request_log.redaction import Redactor

PREVIEW_CHARS = 200

_json = json.JSONEncoder(ensure_ascii=False, skipkeys=True, default=str)


def preview(inputs: Sequence[object], mode: str, redactor: Redactor | None = None) -> str:
    """A text for the log. ``mode`` is ``Conf.log_inputs``; inputs may be any JSON values.

    Whole texts are redacted, before any is cut. Empty if that fails.
    """
    if mode == "none" or not inputs:
        return ""
    if redactor is not None:
        shown = redactor.redacted(list(inputs) if mode == "full" else [inputs[0]])
        if shown is None:
            return ""
        inputs = [*shown, *inputs[len(shown) :]]
    try:
        if mode == "full":
            return storable(_json.encode(list(inputs)))
        beginning = _beginning(inputs[0])
    except (RecursionError, ValueError):  # nested too deeply, or an integer with more digits than Python prints
        beginning = "(not shown)"
    return beginning + (f" (+{len(inputs) - 1} more)" if len(inputs) > 1 else "")


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
