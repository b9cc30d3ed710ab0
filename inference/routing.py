"""Which application answers what."""

from collections.abc import Awaitable, Callable
from typing import Any

from inference.consumers import http
from inference.consumers.websocket import InferenceSocket

Application = Callable[[Any, Any, Any], Awaitable[None]]

NO_SUCH_SOCKET = 4404

_front_page, _inference = http.FrontPage.as_asgi(), http.Inference.as_asgi()
_watched = {
    "/health/live": http.Live.as_asgi(),
    "/health/ready": http.Ready.as_asgi(),
    "/metrics": http.Metrics.as_asgi(),
}
_sockets = {"/ws/": InferenceSocket.as_asgi()}


def http_routes(django_application: Application) -> Application:
    """Our consumers by exact path, Django for the rest. (Django's ``path()`` costs a URL resolution per request.)"""

    async def route(scope: Any, receive: Any, send: Any) -> None:
        path = _path(scope)
        application: Application
        if path == "/":
            application = _front_page if scope["method"] in http.FrontPage.methods else _inference
        else:
            application = _watched.get(path, django_application)
        await application(scope, receive, send)

    return route


async def websocket_routes(scope: Any, receive: Any, send: Any) -> None:
    application = _sockets.get(_path(scope))
    if application is None:
        await send({"type": "websocket.close", "code": NO_SUCH_SOCKET})
    else:
        await application(scope, receive, send)


def _path(scope: dict[str, Any]) -> str:
    return str(scope["path"]).removeprefix(scope.get("root_path", "").rstrip("/"))
