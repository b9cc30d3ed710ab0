"""The ASGI application: our routes around the project's own application, and the web process that serves them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.layers import InMemoryChannelLayer

from inference.api.middleware import complete_http, complete_websocket
from inference.api.not_found import NotFoundConsumer
from inference.api.routing import Application, http_routes, websocket_routes
from inference.api.scope import is_below, path_of
from inference.loops import run_here, run_on
from inference.messaging.layer import configured
from inference.pages import assets
from inference.pages.docs_page import DocsPage
from inference.pages.front_page import FrontPage
from inference.pages.playground_page import PlaygroundPage
from inference.process import single, web
from inference.server import hooks
from inference.server.signals import Handler, drain_first

logger = logging.getLogger(__name__)

PAGES = {
    "/": FrontPage,
    "/docs": DocsPage,
    "/playground": PlaygroundPage,
    "/playground/{name}": PlaygroundPage,
    "/playground/{owner}/{name}": PlaygroundPage,
}
"""By path, which may have the name of a pipeline in it."""


class InferenceApplication:
    """Args as those of ``inference.asgi.wrap``. Raises ``ValueError`` if the prefix is not like ``/inference``."""

    def __init__(self, application: Application, prefix: str) -> None:
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ValueError(
                f"The prefix is {prefix!r}; it must begin with a slash and not end with one: '/inference'."
            )
        self._application = application
        self._prefix = prefix
        others = NotFoundConsumer.as_asgi() if prefix else application
        self._http = complete_http(http_routes(others, _pages()))
        self._websocket = complete_websocket(websocket_routes())
        hooks.install(_start, _drain, prefix)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] in ("http", "websocket") and is_below(path := path_of(scope), self._prefix):
            process = _start()
            if process.loop is not asyncio.get_running_loop():
                receive, send = run_here(receive), run_here(send)
            mount = scope.get("root_path", "").rstrip("/")
            answer = self._http if scope["type"] == "http" else self._websocket
            ours = scope | {"root_path": mount + self._prefix, "path": mount + path, "service": process.service}
            await run_on(process.loop, answer, ours, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI's lifespan: ours around that of the project, which Django and Channels do not have.

        Raises what the project raises after it has read the startup, or what it raises later.
        """
        startup = [await receive()]
        answered = False
        if isinstance(configured(), InMemoryChannelLayer) and not single.claim():
            web.exit_fatally(single.REFUSAL)
        _start()

        async def receive_after_us() -> Any:
            if startup:
                return startup.pop()
            shutdown = await receive()
            await _stop()
            return shutdown

        async def send_and_note(message: Any) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._application(scope, receive_after_us, send_and_note)
        except Exception:
            if answered or not startup:
                raise
        if not answered:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await _stop()
            await send({"type": "lifespan.shutdown.complete"})


def _pages() -> dict[str, Application]:
    pages: dict[str, Application] = {path: page.as_asgi() for path, page in PAGES.items()}
    return pages | dict.fromkeys(assets.patterns(), assets.AssetConsumer.as_asgi())


_serving = False
_signals: Handler | None = None


def _start() -> web.WebProcess:
    """The web process, which the first call starts. If it cannot be set up, the process ends, and says why."""
    global _serving, _signals
    try:
        process = web.start(web.exit_fatally)
    except Exception as error:
        logger.error("Starting failed", exc_info=error)
        web.exit_fatally(f"The process could not be set up: {error!r}")
    process.serve()
    if not _serving:
        _serving = True
        if not hooks.daphne_serves():
            _signals = drain_first(_answer_accepted)
    return process


async def _answer_accepted() -> None:
    """The server then closes connections, and says in its lifespan, if it has one, when that is done."""
    process = web.current()
    if process is not None:
        await run_on(process.loop, process.answer_accepted)


async def _stop() -> None:
    await _drain()
    if _signals is not None:
        _signals.remove()


async def _drain(close_connections: Callable[[], Awaitable[None]] | None = None) -> None:
    process = web.current()
    if process is not None:
        await run_on(process.loop, process.drain, close_connections and run_here(close_connections))
