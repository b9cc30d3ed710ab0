"""The ASGI application: our routes around the project's own application, and the web process that serves them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from inference.api.http import NotFoundConsumer
from inference.api.middleware import complete_http, complete_websocket
from inference.api.routing import Application, http_routes, websocket_routes
from inference.api.scope import is_below, path_of
from inference.loops import run_here, run_on
from inference.pages.front_page import FrontPage
from inference.process import web
from inference.server import hooks


def wrap(application: Application, prefix: str = "") -> Application:
    """Serve inference below ``prefix``, and ``application`` everywhere else.

    Without a prefix, ours are ``/``, ``/ws/``, ``/health/…``, ``/metrics`` and the paths of the dialects; every other
    HTTP request is for ``application``. The web process starts with the server: through Daphne's reactor, through
    ASGI's lifespan where a server has one, and with the first connection wherever neither exists.

    Raises:
        ValueError: the prefix is not empty, and not like ``/inference``.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ValueError(f"The prefix is {prefix!r}; it must begin with a slash and not end with one: '/inference'.")
    hooks.install(_start, _drain, prefix)
    others = NotFoundConsumer.as_asgi() if prefix else application
    http = complete_http(http_routes(others, {"/": FrontPage.as_asgi()}))
    websocket = complete_websocket(websocket_routes())

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] in ("http", "websocket") and is_below(path_of(scope), prefix):
            process = _start()
            if process.loop is not asyncio.get_running_loop():
                receive, send = run_here(receive), run_here(send)
            root_path = scope.get("root_path", "").rstrip("/") + prefix
            answer = http if scope["type"] == "http" else websocket
            ours = scope | {"root_path": root_path, "service": process.service}
            await run_on(process.loop, answer, ours, receive, send)
        else:
            await application(scope, receive, send)

    return serve


def _start() -> web.WebProcess:
    return web.start(web.exit_fatally)


async def _drain(close_connections: Callable[[], Awaitable[None]] | None = None) -> None:
    process = web.current()
    if process is not None:
        await run_on(process.loop, process.drain, close_connections and run_here(close_connections))


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _start()
            await send({"type": "lifespan.startup.complete"})
        else:
            await _drain()
            await send({"type": "lifespan.shutdown.complete"})
            return
