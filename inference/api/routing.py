"""Which application answers which path."""

from collections.abc import Awaitable, Callable
from typing import Any

from inference.api import health
from inference.api.dialects import registry
from inference.api.http import SAFE_METHODS, EndpointConsumer, UnknownPipelineConsumer
from inference.api.scope import PIPELINES, path_of
from inference.api.websocket import SocketConsumer

Application = Callable[[Any, Any, Any], Awaitable[None]]

NO_SUCH_SOCKET = 4404
MONITORING = {
    "/health": health.Ready,
    "/health/live": health.Live,
    "/health/ready": health.Ready,
    "/info": health.Info,
    "/metrics": health.MetricsExport,
    "/v2/repository/index": health.RepositoryIndex,
}
OF_PIPELINE = ("/health", "/health/live", "/health/ready", "/info")
"""Those that are also below ``/pipelines/{name}``."""


def http_routes(others: Application, pages: dict[str, Application]) -> Application:
    """Our consumers by exact path, ``others`` for the rest. (Django's ``path()`` costs a URL resolution each time.)

    Below ``/pipelines/{name}``, each path is that of one pipeline.

    Args:
        pages: what answers GET and HEAD at a path.
    """
    unknown = UnknownPipelineConsumer.as_asgi()
    monitoring = {path: consumer.as_asgi() for path, consumer in MONITORING.items()}
    of_pipeline = {path: application for path, application in monitoring.items() if path in OF_PIPELINE}
    endpoints = _endpoints(pages)

    async def route(scope: Any, receive: Any, send: Any) -> None:
        path, method = path_of(scope), scope["method"]
        at_monitoring = monitoring
        if path.startswith(PIPELINES):
            found = in_pipeline(scope, path)
            if found is None:
                await unknown(scope, receive, send)
                return
            scope, path, at_monitoring = found, found["pipeline_path"], of_pipeline
        application = pages.get(path) if method in SAFE_METHODS else None
        if application is None:
            at_path = endpoints.get(path)
            # A method that the path does not have is refused by any of its consumers.
            application = (at_path.get(method) or next(iter(at_path.values()))) if at_path else at_monitoring.get(path)
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
        path = path_of(scope)
        found = in_pipeline(scope, path) if path.startswith(PIPELINES) else scope
        application = sockets.get(found.get("pipeline_path", path)) if found else None
        if application is None:
            await send({"type": "websocket.close", "code": NO_SUCH_SOCKET})
        else:
            await application(found, receive, send)

    return route


def in_pipeline(scope: Any, path: str) -> Any:
    """The scope of a request below ``/pipelines/``, with the pipeline's name and the path below that.

    ``None`` if there is no such pipeline.
    """
    found = scope["service"].catalog.route(path.removeprefix(PIPELINES))
    if found is None:
        return None
    spec, rest = found
    return scope | {"pipeline": spec.name, "pipeline_path": rest}
