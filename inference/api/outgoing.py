"""What is said on one WebSocket, in order; bounded where the server does not take it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Outgoing:
    """A queue and its one writer.

    Daphne takes everything at once; ``inference.server.backpressure`` bounds what is unsent. Other servers wait until
    their client has read some.

    Args:
        most_bytes: with more than these untaken when there is more to say, ``give_up`` is told how many. (One answer
            may be larger.)
    """

    def __init__(self, most_bytes: int, give_up: Callable[[int], None]) -> None:
        self._most_bytes = most_bytes
        self._give_up = give_up
        self._queue: asyncio.Queue[tuple[dict[str, Any], int]] = asyncio.Queue()
        self._untaken = 0
        self._closed = False

    def put(self, message: dict[str, Any], size: int = 0) -> None:
        if not self._closed:
            self._queue.put_nowait((message, size))

    def say(self, frame: str) -> None:
        if self._closed:
            return
        if self._untaken > self._most_bytes:
            self._give_up(self._untaken)
            return
        size = len(frame.encode())
        self._untaken += size
        self.put({"type": "websocket.send", "text": frame}, size)

    def close(self, code: int) -> None:
        """The last message; what waits goes before it."""
        self.put({"type": "websocket.close", "code": code})
        self._closed = True

    def drop(self) -> None:
        """What waits, but not what is being sent."""
        while not self._queue.empty():
            self._queue.get_nowait()

    async def write(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Until the socket is closed."""
        kind = ""
        while kind != "websocket.close":
            message, size = await self._queue.get()
            await send(message)
            self._untaken -= size
            kind = message["type"]
