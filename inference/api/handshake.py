"""The handshake of a WebSocket: who opens it, and how it is refused."""

from typing import Any

from inference.access import credentials
from inference.access.checking import Access, Caller
from inference.access.principal import NOBODY
from inference.api.dialects import registry
from inference.api.error_reply import error_reply
from inference.api.scope import local_path, peer, websocket_context
from inference.errors import InferenceError

Event = dict[str, Any]
"""Of ASGI."""
NOT_ADMITTED = 4401
"""Code of a close before the socket is accepted; the client sees an HTTP status."""


def identify(scope: dict[str, Any]) -> Caller:
    """Who opens a socket; the scope does not have the keys any more."""
    access: Access = scope["service"].access
    return access.caller(credentials.take(scope), lambda: peer(scope).owner)


def refused_handshake(scope: dict[str, Any], error: InferenceError) -> list[Event]:
    """An answer in the form of the path's dialect, where the server has that; ``inference.server`` writes its own."""
    if "websocket.http.response" not in (scope.get("extensions") or ()):
        return [{"type": "websocket.close", "code": NOT_ADMITTED, "reason": error.message, "error": error}]
    context = websocket_context(scope, principal=NOBODY)
    scope["service"].refused(context, error)
    reply = error_reply(registry.of_path(local_path(scope)), context, error, "")
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    return [
        {"type": "websocket.http.response.start", "status": reply.status, "headers": headers},
        {"type": "websocket.http.response.body", "body": reply.body},
    ]
