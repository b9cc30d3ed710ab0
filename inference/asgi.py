"""The ASGI application: our routes around the project's own application, and the web process that serves them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from inference.api.middleware import complete_http, complete_websocket
from inference.api.routing import Application, http_routes, websocket_routes
from inference.loops import run_here, run_on
from inference.pages.front_page import FrontPage
from inference.process import web
from inference.server import hooks


def wrap(application: Application) -> Application:
    """Serve inference beside ``application``, which gets every request that is not for one of our paths.

    The web process starts with the server: through Daphne's reactor, through ASGI's lifespan where a server has one,
    and with the first connection wherever neither exists.
    """
    hooks.install(_start, _drain)
    http = complete_http(http_routes(application, {"/": FrontPage.as_asgi()}))
    websocket = complete_websocket(websocket_routes())

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] in ("http", "websocket"):
            process = _start()
            if process.loop is not asyncio.get_running_loop():
                receive, send = run_here(receive), run_here(send)
            answer = http if scope["type"] == "http" else websocket
            await run_on(process.loop, answer, scope | {"service": process.service}, receive, send)
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
