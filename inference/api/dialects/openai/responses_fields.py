"""Fields of a response that change no answer here, and the values that they may have."""

from collections.abc import Sequence
from typing import Any

from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.openai.fields import Fields, read, read_flag, shown
from inference.api.dialects.openai.structured import read_format
from inference.tasks.base import Task
from inference.tasks.parameters import Whole

ONLY: dict[str, Sequence[Any]] = {
    "reasoning": ({}, {"effort": "none"}),
    "truncation": ("disabled",),
    "background": (False,),
    "context_management": ([],),
}
FORMAT_FIELD = "text.format"
FORMAT = '{"type": "json_schema", "name": "answer", "schema": {"type": "object"}}'
TEXTS = ("user", "safety_identifier", "prompt_cache_key")
ECHOED = ("metadata", *TEXTS, "max_tool_calls", "parallel_tool_calls")
"""They come back in the response."""
MOST_TOOL_CALLS = 2**31


def format_of(fields: Fields) -> dict[str, Any]:
    """That of the answer's text. Raises ``InvalidField``, ``UnsupportedField``."""
    text = fields.get("text", {})
    if not isinstance(text, dict):
        raise InvalidField("text", f"'text' is {shown(text)}; it must be like {{\"format\": {FORMAT}}}.")
    for name, value in text.items():
        if name != "format" and (name, value) not in (("verbosity", "medium"), ("verbosity", None)):
            raise UnsupportedField("text", f"'text' has {name[:60]!r}, which is not supported; send only 'format'.")
    given = text.get("format") or {"type": "text"}
    if not isinstance(given, dict):
        raise InvalidField(FORMAT_FIELD, f"'{FORMAT_FIELD}' is {shown(given)}; it must be like {FORMAT}.")
    return given


def format_parameters(fields: Fields, task: Task) -> dict[str, Any]:
    """The parameters that a format means. Raises ``InvalidField``, ``UnsupportedField``."""
    given = format_of(fields)
    if given.get("type") == "json_schema":  # chats have its name and schema one level below
        given = {"type": "json_schema", "json_schema": given}
    return read_format({FORMAT_FIELD: given}, task, FORMAT_FIELD, FORMAT)


def told_format(fields: Fields) -> dict[str, Any]:
    """As a response has it."""
    given = format_of(fields)
    optional = {"name": "answer", "description": None, "strict": False} if given.get("type") == "json_schema" else {}
    return optional | given


def check_echoed(fields: Fields) -> None:
    """Raises ``InvalidField``, ``UnsupportedField``."""
    format_of(fields)
    for name in TEXTS:
        if not isinstance(fields.get(name, ""), str):
            raise InvalidField(name, f"'{name}' is {shown(fields[name])}; it must be a text.")
    metadata = fields.get("metadata", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidField("metadata", f"'metadata' is {shown(metadata)}; it must be an object with texts.")
    read(fields, "max_tool_calls", Whole(0, MOST_TOOL_CALLS))
    read_flag(fields, "parallel_tool_calls")
