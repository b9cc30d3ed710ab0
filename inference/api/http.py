"""HTTP in and out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from channels.generic.http import AsyncHttpConsumer

from inference.api.dialects.native import event_stream, http
from inference.api.event_stream import EventStream
from inference.api.hosts import allowed_host, allowed_origin, client_address, header, peer
from inference.errors import Forbidden, InferenceError, Malformed, MethodNotAllowed, PayloadTooLarge
from inference.models import InferenceRequest
from inference.observability import tracing
from inference.serving.query import Query
from inference.serving.service import Request, Service

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
JSON = (b"content-type", b"application/json")
SAFE_METHODS = ("GET", "HEAD")


class Disconnected(Exception):
    """The client is gone; nobody reads an answer."""


class HttpConsumer(AsyncHttpConsumer):
    """Base of our HTTP consumers: one request, answered by ``respond``.

    It takes no channel of its own, and is its own event loop: ``AsyncHttpConsumer.handle`` runs inside a dispatch
    and so cannot see ``http.disconnect`` (https://github.com/django/channels/issues/1249).
    """

    channel_layer_alias = "none"
    methods: ClassVar[tuple[str, ...]] = SAFE_METHODS
    service: Service

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        self.scope, self.base_send, self.receive = scope, send, receive
        self.service = scope["service"]
        self.request = Request(
            transport=InferenceRequest.Transport.HTTP,
            client=client_address(scope),
            peer=peer(scope),
            id=tracing.take_request_id(header(scope, b"x-request-id")),
            traceparent=tracing.child(header(scope, b"traceparent")),
        )
        try:
            self.check()
            await self.respond()
        except InferenceError as error:
            headers = http.write_headers(self.request.id, self.request.times(), error)
            if isinstance(error, MethodNotAllowed):
                headers.append((b"allow", ", ".join(self.methods).encode()))
            await self.answer(error.status, http.write_error(error), headers)
        except Disconnected:
            return

    def check(self) -> None:
        """Raises ``Malformed`` for a host that is not ours, ``MethodNotAllowed``, ``Forbidden``."""
        if not self.allowed_host():
            raise Malformed("This Host is not served here; see DJANGO_ALLOWED_HOSTS.")
        if self.scope["method"] not in self.methods:
            allowed = ", ".join(self.methods)
            raise MethodNotAllowed(f"{self.scope['method']} is not allowed here; use {allowed}.")
        if self.scope["method"] not in SAFE_METHODS and not allowed_origin(self.scope):
            raise Forbidden("A page of this Origin may not ask here; see DJANGO_ALLOWED_HOSTS.")

    def allowed_host(self) -> bool:
        return allowed_host(self.scope)

    def trace_headers(self) -> list[tuple[bytes, bytes]]:
        """For a client that traces: which span of its trace the request was."""
        return [(b"traceparent", self.request.traceparent.encode())] if self.request.traceparent else []

    async def respond(self) -> None:
        raise NotImplementedError

    async def answer(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        """The whole answer; ``HEAD`` gets its headers only."""
        headers = [*(headers or [JSON]), *self.trace_headers()]
        sent = b"" if self.scope["method"] == "HEAD" else body
        await self.send_response(status, sent, headers=[*headers, (b"content-length", b"%d" % len(body))])


class Inference(HttpConsumer):
    """``POST /``. (``GET /`` is the front page.)"""

    methods = ("GET", "HEAD", "POST")

    def check(self) -> None:
        """A refusal here is a refused request like any other: it is logged."""
        try:
            super().check()
        except InferenceError as error:
            self.service.refused(self.request, error)
            raise

    async def respond(self) -> None:
        body = _Body(self.receive, self.scope, self.service.conf.max_body_bytes)
        await body.read()
        stream = EventStream(self, [*event_stream.write_headers(self.request.id), *self.trace_headers()])
        try:
            await self._watched(self._answer(body, stream))
        finally:
            stream.abandon()

    async def _answer(self, body: "_Body", stream: EventStream) -> None:
        request = self.request
        try:
            outputs = await self.service.answer(request, lambda: self._query(body), on_token=stream.put)
        except InferenceError as error:
            if not stream.begun:
                raise
            await stream.end(event_stream.write_error(error))
            return
        generation_result = request.generation_result
        if generation_result is not None and generation_result.live:
            await stream.end(event_stream.write_end(generation_result))
            return
        payload = http.write_outputs(outputs, many=request.many)
        if generation_result is not None:
            payload = event_stream.write_details(generation_result, payload)
        await self.answer(200, payload, http.write_headers(request.id, request.times()))

    def _query(self, body: "_Body") -> Query:
        return http.read_body(
            body.checked(),
            header(self.scope, b"content-type"),
            header(self.scope, b"x-request-timeout-seconds") or None,
            self.service.conf.max_deadline_s,
        )

    async def _watched(self, work: Awaitable[None]) -> None:
        """Do the work, unless the client goes away first."""
        me = asyncio.current_task()
        assert me is not None  # noqa: S101
        gone = asyncio.create_task(self._gone())
        gone.add_done_callback(lambda gone: gone.cancelled() or me.cancel())
        try:
            await work
        except asyncio.CancelledError:
            if gone.done() and not gone.cancelled():
                raise Disconnected from None
            raise
        finally:
            gone.cancel()

    async def _gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            continue


class _Body:
    """A request's body, read up to a limit."""

    def __init__(self, receive: Receive, scope: dict[str, Any], limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        declared = header(scope, b"content-length")
        self._declared = int(declared) if declared.isdecimal() else 0

    async def read(self) -> None:
        """Take everything; what is beyond the limit is not kept. Raises ``Disconnected``."""
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
