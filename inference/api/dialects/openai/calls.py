"""Calls of tools in the text of a model.

Models write them as ``<tool_call>{"name": "f", "arguments": {}}</tool_call>``, or as JSON alone, one call or a list of
them, with ``parameters`` in the place of ``arguments`` in some families.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

OPEN = "<tool_call>"
BLOCK = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)


def parsed(text: str, names: Collection[str], prefix: str) -> tuple[str, list[dict[str, Any]]]:
    """The text before calls, and the calls; all of it is text where it calls nothing, or something that is not there.

    Args:
        prefix: of the ids of calls.
    """
    start = text.find(OPEN)
    written = BLOCK.findall(text) if start >= 0 else [text]
    calls = [call for each in written for call in _calls(each, names)]
    if not calls or None in calls:
        return text, []
    content = text[:start].rstrip() if start >= 0 else ""
    return content, [{"id": f"{prefix}{n}", "type": "function", "function": call} for n, call in enumerate(calls)]


def _calls(text: str, names: Collection[str]) -> Iterator[dict[str, str] | None]:
    """``None`` for what is no call."""
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        yield None
        return
    for each in value if isinstance(value, list) else [value]:
        match each:
            case {"name": str(name), "arguments": dict(arguments)} | {"name": str(name), "parameters": dict(arguments)}:
                known = name in names
                yield {"name": name, "arguments": msgspec.json.encode(arguments).decode()} if known else None
            case _:
                yield None


class Held:
    """Takes a text piece by piece, and holds back what may be a call."""

    def __init__(self) -> None:
        self.rest = ""
        self._holds = False
        self._begun = False

    def push(self, text: str) -> str:
        """What is certainly no call."""
        self.rest += text
        if self._holds:
            return ""
        if not self._begun:
            if not (begun := self.rest.lstrip()):
                return ""
            self._begun = True
            if begun[0] in "{[":
                self._holds = True
                return ""
        end = self.rest.find(OPEN)
        self._holds = end >= 0
        if end < 0:
            end = len(self.rest) - _overlap(self.rest)
        free, self.rest = self.rest[:end], self.rest[end:]
        return free


def _overlap(text: str) -> int:
    """Length of its longest end with which ``OPEN`` begins."""
    return next((size for size in range(min(len(text), len(OPEN) - 1), 0, -1) if OPEN.startswith(text[-size:])), 0)
