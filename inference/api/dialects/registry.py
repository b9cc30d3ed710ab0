"""Which dialects are served: each module or package beside this one with a ``DIALECT``, and what was registered."""

import pkgutil
from importlib import import_module

from inference.api import dialects
from inference.api.dialects.base import Dialect, Endpoint

_dialects: list[Dialect] = []


def register(dialect: Dialect) -> None:
    """Serve another dialect. Call before ``inference.asgi.wrap``.

    Raises:
        ValueError: one of its paths is served already.
    """
    taken = {(endpoint.method, endpoint.path) for known in _dialects for endpoint in known.endpoints}
    taken |= {("WebSocket", path) for known in _dialects for path in known.sockets}
    wanted = {(endpoint.method, endpoint.path) for endpoint in dialect.endpoints}
    wanted |= {("WebSocket", path) for path in dialect.sockets}
    if twice := taken & wanted:
        method, path = min(twice)
        raise ValueError(f"The dialect {dialect.name} serves {method} {path}, which another dialect serves already.")
    _dialects.append(dialect)


def served() -> tuple[Dialect, ...]:
    return tuple(_dialects)


def of_path(path: str) -> Dialect:
    """The one that writes the errors of a path."""
    known = [(prefix, dialect) for dialect in _dialects for prefix in dialect.prefixes if path.startswith(prefix)]
    return max(known, key=lambda entry: len(entry[0]))[1]


def endpoints() -> list[tuple[Dialect, Endpoint]]:
    return [(dialect, endpoint) for dialect in _dialects for endpoint in dialect.endpoints]


for _module in pkgutil.iter_modules(dialects.__path__):
    if _found := getattr(import_module(f"{dialects.__name__}.{_module.name}"), "DIALECT", None):
        register(_found)
