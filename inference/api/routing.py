"""Which application answers which path."""

from collections.abc import Awaitable, Callable
from typing import Any

from inference.api import health
from inference.api.dialects import registry
from inference.api.http import SAFE_METHODS, EndpointConsumer
from inference.api.scope import path_of
from inference.api.websocket import SocketConsumer

Application = Callable[[Any, Any, Any], Awaitable[None]]

NO_SUCH_SOCKET = 4404
MONITORING = {"/health/live": health.Live, "/health/ready": health.Ready, "/metrics": health.MetricsExport}


def http_routes(others: Application, pages: dict[str, Application]) -> Application:
    """Our consumers by exact path, ``others`` for the rest. (Django's ``path()`` costs a URL resolution each time.)

    Args:
        pages: what answers GET and HEAD at a path.
    """
    monitoring = {path: consumer.as_asgi() for path, consumer in MONITORING.items()}
    endpoints = _endpoints(pages)

    async def route(scope: Any, receive: Any, send: Any) -> None:
        path, method = path_of(scope), scope["method"]
        application = pages.get(path) if method in SAFE_METHODS else None
        if application is None:
            at_path = endpoints.get(path)
            # A method that the path does not have is refused by any of its consumers.
            application = (at_path.get(method) or next(iter(at_path.values()))) if at_path else monitoring.get(path)
        await (application or others)(scope, receive, send)

    return route


def _endpoints(pages: dict[str, Application]) -> dict[str, dict[str, Application]]:
    """Consumers of the dialects' endpoints by path and method."""
    methods: dict[str, list[str]] = {}
    for _, endpoint in registry.endpoints():
        methods.setdefault(endpoint.path, [*SAFE_METHODS] if endpoint.path in pages else []).append(endpoint.method)
    found: dict[str, dict[str, Application]] = {}
    for _, endpoint in registry.endpoints():
        consumer = EndpointConsumer.as_asgi(endpoint=endpoint, allowed=tuple(methods[endpoint.path]))
        found.setdefault(endpoint.path, {})[endpoint.method] = consumer
    return found


def websocket_routes() -> Application:
    """The dialects' sockets by exact path; a handshake anywhere else is refused."""
    sockets = {
        path: SocketConsumer.as_asgi(make_socket=make_socket)
        for dialect in registry.served()
        for path, make_socket in dialect.sockets.items()
    }

    async def route(scope: Any, receive: Any, send: Any) -> None:
        application = sockets.get(path_of(scope))
        if application is None:
            await send({"type": "websocket.close", "code": NO_SUCH_SOCKET})
        else:
            await application(scope, receive, send)

    return route
