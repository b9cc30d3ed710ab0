"""One HTTP answer that is sent while it is generated."""

import asyncio

from channels.generic.http import AsyncHttpConsumer

from inference.api.dialects.base import Headers, Writer
from inference.api.served_headers import served_headers
from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.generation_result import GenerationResult
from inference.serving.progress import Progress
from inference.serving.result import RequestResult, Served


class StreamedAnswer(Progress):
    """Tokens in, bytes out: one send at a time; tokens that come during a send go out together after it.

    Headers are sent with the first token: until then an error can have a status. However slow the client, what waits
    here is never more than the tokens of one text.
    """

    def __init__(self, consumer: AsyncHttpConsumer, headers: Headers) -> None:
        self.begun = False
        self._consumer = consumer
        self._headers = headers
        self._unsent = bytearray()
        self._sending: asyncio.Task[None] | None = None

    def use(self, writer: Writer) -> None:
        """Call before anything else of a request that streams."""
        self._writer = writer
        self._headers = [*writer.headers, *self._headers]

    def admitted(self, served: Served) -> None:
        self._headers += served_headers(served)

    def token(self, token: Token, generation: GenerationResult) -> None:
        self._take(self._writer.token(token, generation))

    def finished(self, generation: GenerationResult) -> None:
        self._take(self._writer.finished(generation))

    async def end(self, result: RequestResult) -> None:
        await self._end(self._writer.end(result))

    async def fail(self, error: InferenceError) -> None:
        await self._end(self._writer.error(error))

    def abandon(self) -> None:
        """The client has disconnected, or has its answer."""
        if self._sending is not None:
            self._sending.cancel()

    def _take(self, event: bytes) -> None:
        if not event:
            return
        self._unsent += event
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def _end(self, event: bytes) -> None:
        if self._sending is not None:
            await self._sending
        await self._begin()
        await self._consumer.send_body(event)

    async def _send(self) -> None:
        await self._begin()
        while self._unsent:
            data = bytes(self._unsent)
            self._unsent.clear()
            await self._consumer.send_body(data, more_body=True)

    async def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            await self._consumer.send_headers(status=200, headers=self._headers)
