"""What the request log keeps of an answer: its beginning, where it keeps inputs."""

from collections.abc import Iterable

import msgspec

from inference.request_log.preview import PREVIEW_CHARS, storable
from inference.request_log.redaction import Redactor

FULL_CHARS = 4_000
"""Kept where inputs are kept in full."""
MOST_REDACTED_BYTES = 64 * 1024
"""Of answers that are read for the redactor, on the event loop; nothing is kept of larger ones."""
TOO_LARGE = "(not kept: too large to be redacted)"

Output = bytes | str
"""JSON, or what stands for media and arrays."""


def beginning(outputs: Iterable[Output], number: int, mode: str, redactor: Redactor | None = None) -> str:
    """A text for the log. ``mode`` is ``Conf.log_inputs``. Several outputs are shown as a list where it is ``full``.

    Whole texts are redacted, before any is cut. Empty if that fails.

    Args:
        number: of the outputs, of which only those that are shown are read.
    """
    if mode == "none" or not number:
        return ""
    outputs = iter(outputs)
    if mode == "full":
        text = _text(next(outputs), FULL_CHARS, redactor) if number == 1 else _listed(outputs, redactor)
        return storable(_cut(text, FULL_CHARS))
    text = _cut(_text(next(outputs), PREVIEW_CHARS, redactor), PREVIEW_CHARS)
    return storable(text) + (f" (+{number - 1} more)" if number > 1 and text else "")


def _listed(outputs: Iterable[Output], redactor: Redactor | None) -> str:
    parts, size = list[str](), 0
    for output in outputs:
        parts.append(_text(output, FULL_CHARS, redactor))
        size += len(parts[-1])
        if size > FULL_CHARS:
            break
    return f"[{', '.join(parts)}]"


def _text(output: Output, most: int, redactor: Redactor | None) -> str:
    """Whole, or longer than ``most``."""
    if isinstance(output, str):
        return output
    if redactor is None:
        return output[: 4 * (most + 1)].decode("utf-8", "ignore")  # at most four bytes for a character
    if len(output) > MOST_REDACTED_BYTES:
        return TOO_LARGE
    try:
        value = redactor.redacted(msgspec.json.decode(output))
    except (ValueError, RecursionError):  # no JSON: what cannot be read cannot be redacted
        return ""
    return "" if value is None else msgspec.json.encode(value).decode()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"
