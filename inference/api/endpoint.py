"""The consumer that serves the endpoints of dialects."""

import asyncio
from collections.abc import Awaitable
from functools import partial

from inference.api.body import Body, Disconnected
from inference.api.dialects.base import Endpoint, ReadAside
from inference.api.http import HttpConsumer
from inference.api.served_headers import served_headers
from inference.api.streaming import StreamedAnswer
from inference.errors import InferenceError
from inference.serving.query import Query


class EndpointConsumer(HttpConsumer):
    """Serves one endpoint of a dialect.

    Args:
        allowed: all methods that its path has.
        dialect: name of the one that it belongs to.
    """

    of_dialect = True

    def __init__(self, *, endpoint: Endpoint, allowed: tuple[str, ...], dialect: str = "") -> None:
        self.dialect = dialect
        self._endpoint = endpoint
        self._allowed = allowed

    def allowed_methods(self) -> tuple[str, ...]:
        return self._allowed

    def check_host(self) -> None:
        """A request that is refused here is logged like any other."""
        try:
            super().check_host()
        except InferenceError as error:
            self.service.refused(self.context, error, self._pipeline() or "")
            raise

    def check(self) -> None:
        """As ``check_host``."""
        try:
            super().check()
        except InferenceError as error:
            self.service.refused(self.context, error, self._pipeline() or "")
            raise

    def _pipeline(self) -> str | None:
        """Name of the pipeline that the path means; ``None`` where the body may say it."""
        named: str | None = self.scope.get("pipeline")
        return named if named or self._endpoint.pipeline_in_body else self.deployment.catalog.default.name

    async def respond(self) -> None:
        body = Body(self.receive, self.scope, self.service.most_body_bytes(self._pipeline(), self.deployment.catalog))
        await body.read()
        stream = StreamedAnswer(self, self.trace_headers())
        try:
            await self._until_disconnect(self._answer(body, stream))
        finally:
            stream.abandon()

    async def _answer(self, body: Body, stream: StreamedAnswer) -> None:
        try:
            result = await self.service.answer(self.context, lambda: self._read(body, stream), stream, self._pipeline())
        except InferenceError as error:
            if not stream.begun:
                raise
            await stream.fail(error)
            return
        if result.query.stream:
            await stream.end(result)
        else:
            reply = self._endpoint.reply(self.context, result)
            reply.headers.extend(served_headers(result.served))
            await self.answer(reply)

    async def _read(self, body: Body, stream: StreamedAnswer) -> Query:
        content = body.checked()
        read = partial(self._endpoint.read, self.head(self._endpoint.path, self._pipeline()), content, self.deployment)
        aside = isinstance(self._endpoint, ReadAside) and len(content) >= self._endpoint.aside_from
        query = await asyncio.to_thread(read) if aside else read()
        if query.stream:
            stream.use(self._endpoint.writer(self.context, query))
        return query

    async def _until_disconnect(self, work: Awaitable[None]) -> None:
        """Do the work, unless the client disconnects first. Raises ``Disconnected``."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        disconnected = asyncio.create_task(self._disconnected())
        disconnected.add_done_callback(lambda done: done.cancelled() or task.cancel())
        try:
            await work
        except asyncio.CancelledError:
            if disconnected.done() and not disconnected.cancelled():
                raise Disconnected from None
            raise
        finally:
            disconnected.cancel()

    async def _disconnected(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            continue
