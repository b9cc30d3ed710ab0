"""The outermost ASGI application: starts and stops the web process, and lets no exception reach the server."""

import logging
import os
from typing import Any

from inference import lifecycle
from inference.routing import Application
from inferencesite import security_headers

logger = logging.getLogger("inference.edge")

BUG = b'{"error": "This server has a bug; its log has the details.", "error_type": "internal"}'
INTERNAL_ERROR = 1011


class Edge:
    """Gives HTTP and WebSocket consumers the web process's service (``scope["service"]``), and answers their headers.

    The service starts with the server: through Daphne's reactor (``daphne_hooks``), through ASGI's lifespan where
    a server has one, and with the first connection wherever neither exists.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "channel":
            await self._application(scope, receive, send)
        else:
            service = lifecycle.start(die).service
            await self._guarded(scope | {"service": service}, receive, send)

    async def _guarded(self, scope: Any, receive: Any, send: Any) -> None:
        """An exception after ``http.response.start`` would end Daphne's housekeeping for good; none gets there."""
        started = False

        async def watched(message: dict[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = message.get("headers", [])
                message = {**message, "headers": [*headers, *security_headers.missing(headers), *_farewell(scope)]}
            await send(message)

        try:
            await self._application(scope, receive, watched)
        except Exception:
            if scope["type"] == "websocket":
                logger.exception("WebSocket %s", scope["path"])
                await send({"type": "websocket.close", "code": INTERNAL_ERROR})
                return
            logger.exception("HTTP %s %s", scope["method"], scope["path"])
            if not started:
                headers = [(b"content-type", b"application/json")]
                await watched({"type": "http.response.start", "status": 500, "headers": headers})
                await send({"type": "http.response.body", "body": BUG})
            else:
                await send({"type": "http.response.body", "body": b""})

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                lifecycle.start(die)
                await send({"type": "lifespan.startup.complete"})
            else:
                process = lifecycle.current()
                if process is not None:
                    await process.drain()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _farewell(scope: Any) -> list[tuple[bytes, bytes]]:
    """A process that stops takes no further request on the connection, which ends with the answer. (Not in HTTP/2.)"""
    leaves = scope["service"].draining.is_set() and scope["http_version"].startswith("1")
    return [(b"connection", b"close")] if leaves else []


def die(sentence: str) -> None:
    """End the process at once: it cannot serve, and a supervisor or a person must know why."""
    logger.critical("Cannot serve: %s", sentence)
    os._exit(1)
