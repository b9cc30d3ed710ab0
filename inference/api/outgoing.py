"""The frames that wait to be sent on one WebSocket, in order and bounded."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Outgoing:
    """A queue of frames and the task that sends them.

    Daphne takes everything at once; ``inference.server.slow_readers`` bounds what it has not sent. Other servers wait
    until their client has read some.

    Args:
        most_bytes: when more than these wait and there is another frame, ``give_up`` is called with their number. (One
            frame may be larger.)
    """

    def __init__(self, most_bytes: int, give_up: Callable[[int], None]) -> None:
        self._most_bytes = most_bytes
        self._give_up = give_up
        self._queue: asyncio.Queue[tuple[dict[str, Any], int]] = asyncio.Queue()
        self._waiting_bytes = 0
        self._closed = False

    def put(self, message: dict[str, Any], size: int = 0) -> None:
        """Any ASGI event; nothing is queued after ``close``."""
        if not self._closed:
            self._queue.put_nowait((message, size))

    def say(self, frame: str) -> None:
        """Queue a text frame."""
        if self._closed:
            return
        if self._waiting_bytes > self._most_bytes:
            self._give_up(self._waiting_bytes)
            return
        size = len(frame.encode())
        self._waiting_bytes += size
        self.put({"type": "websocket.send", "text": frame}, size)

    def close(self, code: int, reason: str = "") -> None:
        """Close the socket after the frames that wait."""
        self.put({"type": "websocket.close", "code": code, **({"reason": reason} if reason else {})})
        self._closed = True

    def drop(self) -> None:
        """Discard the frames that wait; one that is being sent is not stopped."""
        while not self._queue.empty():
            self._queue.get_nowait()

    async def write(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Send until the socket is closed."""
        kind = ""
        while kind != "websocket.close":
            message, size = await self._queue.get()
            await send(message)
            self._waiting_bytes -= size
            kind = message["type"]
