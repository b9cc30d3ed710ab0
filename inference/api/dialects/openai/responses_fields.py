"""Fields of a response that change no answer here, and the values that they may have."""

from collections.abc import Sequence
from typing import Any

from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.fields import Fields, read, read_flag, shown
from inference.tasks.parameters import Whole

TOOLS: dict[str, Sequence[Any]] = {"tools": ([],)}
ONLY: dict[str, Sequence[Any]] = {
    "tool_choice": ("none", "auto"),
    "text": ({"format": {"type": "text"}}, {"format": {"type": "text"}, "verbosity": "medium"}, {}),
    "reasoning": ({}, {"effort": "none"}),
    "truncation": ("disabled",),
    "background": (False,),
    "context_management": ([],),
}
TEXTS = ("user", "safety_identifier", "prompt_cache_key")
ECHOED = ("metadata", *TEXTS, "max_tool_calls", "parallel_tool_calls")
"""They come back in the response."""
MOST_TOOL_CALLS = 2**31


def check_echoed(fields: Fields) -> None:
    """Raises ``InvalidField``."""
    for name in TEXTS:
        if not isinstance(fields.get(name, ""), str):
            raise InvalidField(name, f"'{name}' is {shown(fields[name])}; it must be a text.")
    metadata = fields.get("metadata", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidField("metadata", f"'metadata' is {shown(metadata)}; it must be an object with texts.")
    read(fields, "max_tool_calls", Whole(0, MOST_TOOL_CALLS))
    read_flag(fields, "parallel_tool_calls")
