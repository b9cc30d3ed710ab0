"""The body of an HTTP request, read up to a limit."""

from collections.abc import Awaitable, Callable
from typing import Any

from inference.api.scope import header
from inference.errors import PayloadTooLarge

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Disconnected(Exception):
    """The client has disconnected; no answer can be sent."""


class Body:
    def __init__(self, receive: Receive, scope: dict[str, Any], limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        declared = header(scope, b"content-length")
        self._declared = int(declared) if declared.isdecimal() else 0

    async def read(self) -> None:
        """Receive all of it; what is beyond the limit is not kept. Raises ``Disconnected``."""
        more = True
        while more:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise Disconnected
            chunk = event.get("body", b"")
            self._size += len(chunk)
            if self._size <= self._limit:
                self._chunks.append(chunk)
            more = event.get("more_body", False)

    def checked(self) -> bytes:
        """The body. Raises ``PayloadTooLarge``."""
        size = max(self._size, self._declared)
        if size > self._limit:
            raise PayloadTooLarge(f"The body has {size} bytes; {self._limit} are allowed.")
        return b"".join(self._chunks)
