"""ASGI middleware: every request is brought to an end, and its answer gets the headers that all answers have."""

import logging
from typing import Any

from inference import conf
from inference.api import cors, security_headers
from inference.api.dialects import registry
from inference.api.routing import Application
from inference.api.scope import header, http_context, path_of
from inference.serving.bug import log_bug

logger = logging.getLogger("inference.server")

INTERNAL_ERROR = 1011


class Unfinished(Exception):
    """An application returned without the end of its answer."""


def complete_websocket(application: Application) -> Application:
    """Close the socket with 1011 where ``application`` fails."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        try:
            await application(scope, receive, send)
        except Exception:
            logger.exception("WebSocket %s", scope["path"])
            await send({"type": "websocket.close", "code": INTERNAL_ERROR})

    return serve


def complete_http(application: Application) -> Application:
    """Answer 500 where ``application`` fails before its answer has begun, and add headers to every answer.

    Raises:
        Unfinished: an answer has no end; for the server to close the connection.
    """

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        response = _Response(scope, receive, send)
        try:
            await application(scope, response.receive, response.send)
        except Exception as error:
            context = http_context(scope)
            bug = log_bug(error, context.id, context.traceparent)
            if not response.started:
                reply = registry.of_path(path_of(scope)).error(context, bug)
                shared = cors.answer_headers(conf.current().cors_origins, header(scope, b"origin"), reply.headers)
                headers = [*reply.headers, *shared]
                await response.send({"type": "http.response.start", "status": reply.status, "headers": headers})
                await response.send({"type": "http.response.body", "body": reply.body})
        if not (response.ended or response.disconnected):
            raise Unfinished(f"The answer to {scope['method']} {scope['path']} has no end; its connection is closed.")

    return serve


class _Response:
    """What has happened to one answer so far."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.started = self.ended = self.disconnected = False
        self._scope, self._receive, self._send = scope, receive, send

    async def receive(self) -> Any:
        message = await self._receive()
        self.disconnected = self.disconnected or message["type"] == "http.disconnect"
        return message

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*message.get("headers", []), *self._connection_headers()]
            message = {**message, "headers": [*headers, *security_headers.missing(headers)]}
        elif message["type"] == "http.response.body":
            self.ended = not message.get("more_body", False)
        await self._send(message)

    def _connection_headers(self) -> list[tuple[bytes, bytes]]:
        """A process that stops takes no further request on the connection. (HTTP/2 has no such header.)"""
        stopping = self._scope["service"].draining.is_set() and self._scope["http_version"].startswith("1")
        return [(b"connection", b"close")] if stopping else []
