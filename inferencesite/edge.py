"""The outermost ASGI application: starts and stops the web process, and brings every request to an end."""

import asyncio
import logging
import os
from typing import Any

from inference import lifecycle
from inference.routing import Application
from inferencesite import security_headers
from inferencesite.loops import run_here, run_on

logger = logging.getLogger("inference.edge")

BUG = b'{"error": "This server has a bug; its log has the details.", "error_type": "internal"}'
INTERNAL_ERROR = 1011


class Unfinished(Exception):
    """An application has left without the end of its answer."""


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
            process = lifecycle.start(die)
            if process.loop is not asyncio.get_running_loop():
                receive, send = run_here(receive), run_here(send)
            answer = self._websocket if scope["type"] == "websocket" else self._http
            await run_on(process.loop, answer, scope | {"service": process.service}, receive, send)

    async def _websocket(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._application(scope, receive, send)
        except Exception:
            logger.exception("WebSocket %s", scope["path"])
            await send({"type": "websocket.close", "code": INTERNAL_ERROR})

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        """Every request has an end: an answer, or a connection that is cut in the middle of one.

        Raises:
            Unfinished: for the server to cut it.
        """
        started = ended = gone = False

        async def hear() -> Any:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        async def say(message: dict[str, Any]) -> None:
            nonlocal started, ended
            if message["type"] == "http.response.start":
                started = True
                headers = message.get("headers", [])
                message = {**message, "headers": [*headers, *security_headers.missing(headers), *_farewell(scope)]}
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)
            await send(message)

        try:
            await self._application(scope, hear, say)
        except Exception:
            logger.exception("HTTP %s %s", scope["method"], scope["path"])
            if not started:
                headers = [(b"content-type", b"application/json")]
                await say({"type": "http.response.start", "status": 500, "headers": headers})
                await say({"type": "http.response.body", "body": BUG})
        if not (ended or gone):
            raise Unfinished(f"The answer to {scope['method']} {scope['path']} has no end; its connection is closed.")

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                lifecycle.start(die)
                await send({"type": "lifespan.startup.complete"})
            else:
                process = lifecycle.current()
                if process is not None:
                    await run_on(process.loop, process.drain)
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
