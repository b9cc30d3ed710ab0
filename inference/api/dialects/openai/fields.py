"""The fields of a request, read one by one; null counts as not given."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import json

from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.reading import decode_object
from inference.messaging.messages import Description
from inference.tasks.parameters import Flag, Kind

IGNORED = frozenset(
    {
        *("user", "metadata", "store", "service_tier", "safety_identifier"),
        *("prompt_cache_key", "prompt_cache_retention", "prediction"),
    }
)
"""Fields of any request that cannot change an answer here."""

NEUTRAL = {"stop": [], "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}}
"""Values with which a field is as if it were not given; clients send them to pipelines that know no such parameter."""

Fields = Mapping[str, Any]


def read_fields(body: bytes, example: str) -> Fields:
    """Those that are given. Raises ``Malformed``."""
    return only_given(decode_object(body, example=example))


def only_given(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value not in (None, NEUTRAL.get(name))}


def required(fields: Fields, name: str, example: str) -> Any:
    """Raises ``InvalidField``."""
    if name not in fields:
        raise InvalidField(name, f"There is no '{name}'; send an object such as {example}.")
    return fields[name]


def read(fields: Fields, name: str, kind: Kind, default: Any = None) -> Any:
    """Raises ``InvalidField``."""
    return checked(name, fields[name], kind) if name in fields else default


def checked(name: str, value: Any, kind: Kind) -> Any:
    """Raises ``InvalidField``."""
    if not kind.accepts(value):
        raise InvalidField(name, f"'{name}' is {shown(value)}; it must be {kind}.")
    return value


def read_flag(fields: Fields, name: str) -> bool:
    """False where it is not given. Raises ``InvalidField``."""
    return bool(read(fields, name, Flag(), default=False))


def read_include_usage(fields: Fields) -> bool:
    """Raises ``InvalidField``."""
    options = fields.get("stream_options", {})
    if not isinstance(options, dict) or not isinstance(usage := options.get("include_usage") or False, bool):
        example = '{"include_usage": true}'
        raise InvalidField("stream_options", f"'stream_options' is {shown(options)}; it must be like {example}.")
    return usage


def check_known(fields: Iterable[str], known: Collection[str]) -> None:
    """Raises ``UnsupportedField``."""
    for name in fields:
        if name not in known and name not in IGNORED:
            raise UnsupportedField(
                name[:60], f"{name[:60]!r} is not supported here; leave it out. Known are {', '.join(known)}."
            )


def check_only(fields: Fields, only: Mapping[str, Sequence[Any]]) -> None:
    """Fields that are supported with some values only, which change nothing. Raises ``UnsupportedField``."""
    for name, values in only.items():
        if name in fields and fields[name] not in values:
            right = " or ".join(json.encode(value).decode() for value in values)
            raise UnsupportedField(name, f"'{name}' is not supported here unless it is {right}; leave it out.")


def unsuited(pipeline: str, description: Description, path: str, needed: str) -> InvalidField:
    """The error where a pipeline cannot do what a path asks."""
    return InvalidField("model", f"Pipeline {pipeline} serves {description.task}; {path} needs one {needed}.")


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
