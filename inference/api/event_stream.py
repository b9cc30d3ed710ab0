"""One answer as server-sent events, written while it comes about."""

import asyncio

from channels.generic.http import AsyncHttpConsumer

from inference.api.dialects.native import event_stream
from inference.messaging.messages import Token


class EventStream:
    """Tokens in, bytes out: one write at a time, and what comes during a write goes out together after it.

    Headers leave with the first token: until then an error can have a status. However slow the reader, what waits
    here is never more than the tokens of one text.
    """

    def __init__(self, consumer: AsyncHttpConsumer, headers: list[tuple[bytes, bytes]]) -> None:
        self.begun = False
        self._consumer = consumer
        self._headers = headers
        self._unsent = bytearray()
        self._writing: asyncio.Task[None] | None = None

    def put(self, token: Token) -> None:
        self._unsent += event_stream.write_token(token)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def end(self, event: bytes) -> None:
        """The rest, and the last event."""
        if self._writing is not None:
            await self._writing
        await self._begin()
        await self._consumer.send_body(event)

    def abandon(self) -> None:
        """Nobody reads it any more."""
        if self._writing is not None:
            self._writing.cancel()

    async def _write(self) -> None:
        await self._begin()
        while self._unsent:
            piece = bytes(self._unsent)
            self._unsent.clear()
            await self._consumer.send_body(piece, more_body=True)

    async def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            await self._consumer.send_headers(status=200, headers=self._headers)
