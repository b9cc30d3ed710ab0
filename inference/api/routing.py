"""Which application answers which path."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from inference.api import health
from inference.api.dialects import registry
from inference.api.endpoint import EndpointConsumer
from inference.api.handshake import identify, refused_handshake
from inference.api.http import SAFE_METHODS
from inference.api.live.consumer import PATH as LIVE_PATH
from inference.api.live.consumer import LiveConsumer
from inference.api.not_found import NotInPipelineConsumer
from inference.api.openapi.consumer import OpenApi
from inference.api.paths import PIPELINE, Paths, without_slash
from inference.api.resource import ResourceConsumer
from inference.api.scope import PIPELINES, path_of
from inference.api.websocket import SocketConsumer
from inference.errors import InferenceError

Application = Callable[[Any, Any, Any], Awaitable[None]]

NO_SUCH_SOCKET = 4404
MONITORING = {
    "/health": health.Ready,
    "/health/live": health.Live,
    "/health/ready": health.Ready,
    "/info": health.Info,
    "/metrics": health.MetricsExport,
    "/openapi.json": OpenApi,
}
OF_PIPELINE = ("/health", "/health/live", "/health/ready", "/info")
"""Those that are also below ``/pipelines/{name}``."""


def http_routes(others: Application, pages: Mapping[str, Application]) -> Application:
    """Our consumers by exact path, ``others`` for the rest. (Django's ``path()`` costs a URL resolution each time.)

    Below ``/pipelines/{name}``, each path is that of one pipeline.

    Args:
        pages: what answers GET and HEAD at a path, which may have names in it.
    """
    unknown, pages_at = NotInPipelineConsumer.as_asgi(), Paths(pages.items())
    monitoring = {path: consumer.as_asgi() for path, consumer in MONITORING.items()}
    of_pipeline = {path: application for path, application in monitoring.items() if path in OF_PIPELINE}
    ours = _endpoints_and_resources(pages)

    async def route(scope: Any, receive: Any, send: Any) -> None:
        path, method = path_of(scope), scope["method"]
        at_monitoring, elsewhere = monitoring, others
        if path.startswith(PIPELINES):
            inner = in_pipeline(scope, path)
            if inner is None:
                await unknown(scope, receive, send)
                return
            scope, path, at_monitoring = inner, inner["pipeline_path"], of_pipeline
            elsewhere = unknown
        path = without_slash(path)
        found = pages_at.find(path) if method in SAFE_METHODS else None
        if found is None and (at_path := ours.find(path)) is not None:
            # A method that the path does not have is refused by any of its consumers.
            found = at_path.with_value(at_path.value.get(method) or next(iter(at_path.value.values())))
        if found is None:
            await (at_monitoring.get(path) or elsewhere)(scope, receive, send)
            return
        scope = _with_arguments(scope, found.arguments)
        of_nothing = PIPELINE in found.arguments and not scope["pipeline"]
        await (unknown if of_nothing else found.value)(scope, receive, send)

    return route


def _endpoints_and_resources(pages: Mapping[str, Application]) -> Paths[dict[str, Application]]:
    """Consumers of the dialects' endpoints and resources by path and method."""
    made: dict[str, dict[str, Callable[..., Application]]] = {}
    for dialect, endpoint in registry.endpoints():
        at_path = made.setdefault(endpoint.path, {})
        at_path[endpoint.method] = partial(EndpointConsumer.as_asgi, endpoint=endpoint, dialect=dialect.name)
    for resource in registry.resources():
        methods = {*resource.methods, "HEAD"} if "GET" in resource.methods else resource.methods
        at_path = made.setdefault(resource.path, {})
        at_path.update(dict.fromkeys(methods, partial(ResourceConsumer.as_asgi, resource=resource)))
    entries = []
    for path, at_path in made.items():
        allowed = _allowed([*at_path, *(SAFE_METHODS if path in pages else ())])
        entries.append((path, {method: make(allowed=allowed) for method, make in at_path.items()}))
    return Paths(entries)


def _allowed(methods: Iterable[str]) -> tuple[str, ...]:
    """Each once, those that only read first."""
    return tuple(sorted(set(methods), key=lambda method: (method not in SAFE_METHODS, method)))


def _with_arguments(scope: Any, arguments: dict[str, str]) -> Any:
    """The scope with what the names in the path stand for; its pipeline is ``None`` if there is none of that name."""
    if not arguments:
        return scope
    scope = scope | {"arguments": arguments}
    if PIPELINE in arguments:
        spec, of_path = scope["service"].catalog.find(arguments[PIPELINE]), scope.get("pipeline")
        scope["pipeline"] = spec.name if spec and of_path in (None, spec.name) else None
    return scope


def websocket_routes() -> Application:
    """The dialects' sockets by exact path, and that of the live page; a handshake anywhere else is refused."""
    live = LiveConsumer.as_asgi()
    sockets = {
        without_slash(path): SocketConsumer.as_asgi(make_socket=make_socket, dialect=dialect.name)
        for dialect in registry.served()
        for path, make_socket in dialect.sockets.items()
    }

    async def route(scope: Any, receive: Any, send: Any) -> None:
        path = path_of(scope)
        if path == LIVE_PATH:
            await live(scope, receive, send)
            return
        found = in_pipeline(scope, path) if path.startswith(PIPELINES) else scope
        application = sockets.get(without_slash(found.get("pipeline_path", path))) if found else None
        if application is None:
            caller = identify(scope)  # which pipelines there are is not for everybody
            no_such_socket = [{"type": "websocket.close", "code": NO_SUCH_SOCKET}]
            refused = refused_handshake(scope, caller) if isinstance(caller, InferenceError) else no_such_socket
            for answer in refused:
                await send(answer)
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
