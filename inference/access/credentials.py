"""The keys that a request offers: ``Authorization: Bearer``, ``x-api-key``, or a subprotocol of a WebSocket.

https://www.rfc-editor.org/rfc/rfc6750 without its forms in bodies and URLs, which end up in logs. Browsers can give a
WebSocket no headers of theirs, but subprotocols: https://websockets.spec.whatwg.org/#dom-websocket-websocket.
"""

from collections.abc import Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote

BEARER = "bearer "
SUBPROTOCOL = "inference.v1"
"""Selected where a client offers it."""
KEY_SUBPROTOCOL = "inference.key."
"""Before a key, in a subprotocol that is never selected."""

AUTHORIZATION, API_KEY, SUBPROTOCOLS = b"authorization", b"x-api-key", b"sec-websocket-protocol"
_NAMES = frozenset({AUTHORIZATION, API_KEY, SUBPROTOCOLS})

Header = tuple[bytes, bytes]
Keys = frozenset[str]
NONE: Keys = frozenset()


def take(scope: MutableMapping[str, Any]) -> Keys:
    """The keys that a request offers; whatever uses the scope afterwards does not see them.

    The scope gets new lists of headers and subprotocols: those that the server has made are not changed.
    """
    headers: Iterable[Header] = scope["headers"]
    if not any(name in _NAMES for name, _ in headers):
        return NONE
    keys: list[str] = []
    scope["headers"] = [kept for header in headers if (kept := _without_key(header, keys)) is not None]
    if scope.get("subprotocols"):
        scope["subprotocols"] = [each for each in scope["subprotocols"] if not each.startswith(KEY_SUBPROTOCOL)]
    return frozenset(keys)


def offered(header: Callable[[bytes], str]) -> Keys:
    """Of a request over HTTP of which there is no scope.

    Args:
        header: gives the first header of a (lower-case) name, or an empty text.
    """
    keys: list[str] = []
    for name in (AUTHORIZATION, API_KEY):
        if value := header(name):
            _without_key((name, value.encode("latin-1")), keys)
    return frozenset(keys)


def _without_key(header: Header, keys: list[str]) -> Header | None:
    """The header, its part without keys, or nothing if no other is left; its keys are added to the list."""
    name, value = header
    if name not in _NAMES:
        return header
    text = value.decode("latin-1").strip()
    if name == SUBPROTOCOLS:
        names = [each.strip() for each in unquote(text).split(",")]  # as Daphne reads them
        others = [each for each in names if not each.startswith(KEY_SUBPROTOCOL)]
        if len(others) == len(names):
            return header
        keys += [each.removeprefix(KEY_SUBPROTOCOL) for each in names if each.startswith(KEY_SUBPROTOCOL)]
        return (name, ", ".join(others).encode()) if others else None
    if name == API_KEY:
        keys += [text] if text else []
        return None
    if text[: len(BEARER)].lower() == BEARER:
        keys.append(text[len(BEARER) :].strip())
        return None
    return None if text.lower() == BEARER.strip() else header
