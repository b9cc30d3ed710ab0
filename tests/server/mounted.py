"""A project that has uploads and sockets of its own, with inference below a prefix."""

from typing import Any

from django.core.asgi import get_asgi_application

from inference.asgi import wrap

get_asgi_application()

PREFIX = "/inference"


async def project(scope: Any, receive: Any, send: Any) -> None:
    await (_echo if scope["type"] == "websocket" else _answer)(scope, receive, send)


wrapped = wrap(project, PREFIX)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"].endswith("/fails"):
        raise ValueError("a bug, of the project or of ours")
    await wrapped(scope, receive, send)


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """Accepts sockets at ``/echo``, and closes with the code that a text of digits names."""
    await receive()
    await send({"type": "websocket.accept" if scope["path"] == "/echo" else "websocket.close"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text", "").isdecimal():
            await send({"type": "websocket.close", "code": int(message["text"])})
        else:
            await send({**message, "type": "websocket.send"})


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    """As many bytes as a path of digits says; elsewhere the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    digits = scope["path"][1:]
    body = b"x" * int(digits) if digits.isdecimal() else b"%d bytes" % size
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
