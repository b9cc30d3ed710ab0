"""``tools`` and ``tool_choice``: what a model may call, and what it must."""

import re
from dataclasses import dataclass
from typing import Any

from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.openai.fields import Fields, shown

EXAMPLE = '{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}'
MOST = 128
NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
CHOICES = ("none", "auto", "required")
USED = ("name", "description", "parameters")


@dataclass(frozen=True, kw_only=True)
class Tools:
    functions: list[dict[str, Any]]
    """As chat templates take them."""
    must: tuple[str, ...] = ()
    """One of these is called; empty: the model decides."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset(each["function"]["name"] for each in self.functions)

    def grammar(self) -> dict[str, Any]:
        """Of a call of what must be called. References in parameters are relative to them, here to the whole."""
        parts, defined = [], {}
        for number, each in enumerate(self.functions):
            function = each["function"]
            if function["name"] in self.must:
                defined[str(number)] = _moved(function.get("parameters", {"type": "object"}), f"#/$defs/{number}")
                named = {"name": {"const": function["name"]}, "arguments": {"$ref": f"#/$defs/{number}"}}
                parts.append({"type": "object", "properties": named, "required": ["name", "arguments"]})
        return {"type": "json", "value": {"$defs": defined, "anyOf": parts}}


def read_tools(fields: Fields) -> Tools | None:
    """``None`` where nothing may be called.

    Raises:
        InvalidField: not like ``EXAMPLE``, or a choice of what is not there.
        UnsupportedField: tools that are no functions.
    """
    tools, choice = fields.get("tools", []), fields.get("tool_choice", "auto")
    if not isinstance(tools, list) or len(tools) > MOST:
        raise InvalidField("tools", f"'tools' is {shown(tools)}; it must be a list of at most {MOST} like {EXAMPLE}.")
    functions = [_function(f"tools[{number}]", tool) for number, tool in enumerate(tools)]
    names = tuple(each["function"]["name"] for each in functions)
    if len(set(names)) < len(names):
        raise InvalidField("tools", "'tools' has two functions of the same name; each needs one of its own.")
    match choice:
        case "none" | "auto" | "required":
            must = names if choice == "required" else ()
        case {"type": "function", "function": {"name": str(name)}} if name in names:
            must = (name,)
        case _:
            right = f"one of {', '.join(CHOICES)}, or name one of 'tools' as in {EXAMPLE}"
            raise InvalidField("tool_choice", f"'tool_choice' is {shown(choice)}; it must be {right}.")
    if choice == "required" and not names:
        raise InvalidField("tool_choice", "'tool_choice' is 'required', but there are no 'tools'; send some.")
    return Tools(functions=functions, must=must) if functions and choice != "none" else None


def _function(where: str, tool: Any) -> dict[str, Any]:
    if isinstance(tool, dict) and isinstance(kind := tool.get("type"), str) and kind != "function":
        raise UnsupportedField("tools", f"{where} has the type {shown(kind)}; only functions are supported here.")
    match tool:
        case {"type": "function", "function": {"name": str(name), **more}} if NAME.fullmatch(name):
            used = {key: value for key, value in more.items() if key in USED and value is not None}
            if isinstance(used.get("description", ""), str) and isinstance(used.get("parameters", {}), dict):
                return {"type": "function", "function": {"name": name} | used}
    raise InvalidField("tools", f"{where} is {shown(tool)}; it must be like {EXAMPLE}.")


def _moved(schema: Any, to: str) -> Any:
    """With references to its own root at another place."""
    if isinstance(schema, list):
        return [_moved(each, to) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {name: _moved(value, to) for name, value in schema.items()}
    if isinstance(reference := schema.get("$ref"), str) and reference.startswith("#"):
        moved["$ref"] = to + reference[1:]
    return moved
