"""The server with a page on which to see streams: ``.venv/bin/daphne tests.pages:application``, then ``/streaming``.

Settings are the server's, such as ``INFERENCE_MODEL``.
"""

from pathlib import Path
from typing import Any

from inferencesite import asgi

PAGE = Path(__file__).with_name("streaming.html")


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http" or scope["path"] != "/streaming":
        await asgi.application(scope, receive, send)
        return
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html; charset=utf-8")]}
    )
    await send({"type": "http.response.body", "body": PAGE.read_bytes()})
