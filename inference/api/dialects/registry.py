"""Which dialects are served: each module or package beside this one with a ``DIALECT``, and what was registered."""

import pkgutil
from importlib import import_module

from inference import catalog
from inference.api import dialects
from inference.api.dialects.base import Dialect, Endpoint, Resource
from inference.api.scope import PIPELINES

RESERVED = ("/health", "/info", "/metrics", "/openapi.json", "/docs", "/playground", "/assets", PIPELINES)
_dialects: list[Dialect] = []


def register(dialect: Dialect) -> None:
    """Serve another dialect. Call before ``inference.asgi.wrap``.

    Raises:
        ValueError: one of its paths or prefixes is served already, or is not for dialects.
    """
    taken = [use for known in _dialects for use in _uses(known)]
    for use in _uses(dialect):
        kind, path = use
        if use in taken:
            raise ValueError(f"The dialect {dialect.name} serves {kind} {path}, which is served already.")
        if path.startswith(RESERVED):
            raise ValueError(f"The dialect {dialect.name} serves {kind} {path}; {' and '.join(RESERVED)} are reserved.")
        taken.append(use)
    _dialects.append(dialect)


def _uses(dialect: Dialect) -> list[tuple[str, str]]:
    """What it needs for itself, each with its path."""
    return [
        *((endpoint.method, endpoint.path) for endpoint in dialect.endpoints),
        *((method, resource.path) for resource in dialect.resources for method in resource.methods),
        *(("WebSocket", path) for path in dialect.sockets),
        *(("prefix", prefix) for prefix in dialect.prefixes),
    ]


def served() -> tuple[Dialect, ...]:
    return tuple(_dialects)


def of_path(path: str) -> Dialect:
    """The one that writes the errors of a path; that of ``/`` for request targets that are no path (``*``).

    Below a pipeline, that of the path below it. The slash at the end of a prefix may be missing in the path.
    """
    known = [
        (len(prefix), dialect)
        for local in _local_paths(path)
        for dialect in _dialects
        for prefix in dialect.prefixes
        if f"{local}/".startswith(prefix)
    ]
    return max(known, key=lambda entry: entry[0])[1]


def _local_paths(path: str) -> list[str]:
    """What a path may be for dialects. Two things where there is no such pipeline: its name may have a slash."""
    if not path.startswith(PIPELINES):
        return [path if path.startswith("/") else "/"]
    below = path.removeprefix(PIPELINES)
    if found := catalog.current().route(below):
        return [found[1]]
    _, _, after_one = below.partition("/")
    _, _, after_two = after_one.partition("/")
    return [f"/{after_one}", f"/{after_two}"]


def endpoints() -> list[tuple[Dialect, Endpoint]]:
    return [(dialect, endpoint) for dialect in _dialects for endpoint in dialect.endpoints]


def resources() -> list[Resource]:
    return [resource for dialect in _dialects for resource in dialect.resources]


for _module in pkgutil.iter_modules(dialects.__path__):
    if _found := getattr(import_module(f"{dialects.__name__}.{_module.name}"), "DIALECT", None):
        register(_found)
