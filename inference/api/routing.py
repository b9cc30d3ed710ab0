"""Which application answers which path."""

from collections.abc import Awaitable, Callable
from typing import Any

from inference.api import health, http
from inference.api.websocket import InferenceSocket

Application = Callable[[Any, Any, Any], Awaitable[None]]

NO_SUCH_SOCKET = 4404

_inference = http.Inference.as_asgi()
_health = {
    "/health/live": health.Live.as_asgi(),
    "/health/ready": health.Ready.as_asgi(),
    "/metrics": health.Metrics.as_asgi(),
}
_sockets = {"/ws/": InferenceSocket.as_asgi()}


def http_routes(others: Application, front_page: Application) -> Application:
    """Our consumers by exact path, ``others`` for the rest. (Django's ``path()`` costs a URL resolution each time.)"""

    async def route(scope: Any, receive: Any, send: Any) -> None:
        path = _path(scope)
        application: Application
        if path == "/":
            application = front_page if scope["method"] in http.SAFE_METHODS else _inference
        else:
            application = _health.get(path, others)
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
