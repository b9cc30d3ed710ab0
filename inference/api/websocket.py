"""WebSocket in and out."""

import asyncio
import logging
from typing import Any

import msgspec
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from inference.api.dialects.native import frames
from inference.api.hosts import allowed_host, allowed_origin, client_address, header, peer
from inference.api.outgoing import Outgoing
from inference.errors import Cancelled, InferenceError, Invalid, Malformed, Overloaded, PayloadTooLarge
from inference.messaging.messages import Started, Token
from inference.models import InferenceRequest
from inference.observability import tracing
from inference.serving.query import Query
from inference.serving.service import Request, Service

logger = logging.getLogger(__name__)

MOST_OPEN = 128
"""Requests open at once on one socket."""
MOST_OPEN_INPUTS = 256
"""Inputs in them; one request may have more if ``INFERENCE_MAX_INPUTS`` allows it."""
POLICY_VIOLATION, SERVICE_RESTART = 1008, 1012


class InferenceSocket(AsyncConsumer):
    """``/ws/``: many requests at once, each under the client's own id.

    A consumer handles one event at a time, so its methods only start tasks and return. Everything said goes through
    one queue, in order. It takes no channel of its own.
    """

    channel_layer_alias = "none"
    service: Service

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.service = scope["service"]
        self.open: dict[str, asyncio.Task[None]] = {}
        self._inputs: dict[str, int] = {}
        self._outgoing = Outgoing(self.service.conf.max_reply_bytes, self._cut_off)
        self._answered = asyncio.Event()
        self._given_up = False
        helpers = [asyncio.create_task(self._outgoing.write(send)), asyncio.create_task(self._close_when_draining())]
        try:
            await super().__call__(scope, receive, send)
        finally:
            for task in (*helpers, *self.open.values()):
                task.cancel()

    async def dispatch(self, message: Any) -> None:
        # Without AsyncConsumer's aclose_old_connections(): a thread hop per frame that one slow query would block.
        match message["type"]:
            case "websocket.connect":
                allowed = allowed_host(self.scope) and allowed_origin(self.scope)
                self._outgoing.put({"type": "websocket.accept" if allowed else "websocket.close"})
                self._answered.set()
            case "websocket.receive" if not self._given_up:
                self._receive(message)
            case "websocket.disconnect":
                raise StopConsumer

    def _receive(self, message: dict[str, Any]) -> None:
        """A bad frame gets an ``error``, never a closed socket; it is logged like any refused request."""
        client_id: str | None = None
        try:
            frame = frames.read_frame(self._text(message))
            if frame["type"] == "ping":
                self._say(frames.write("pong", frames.read_id(frame) if "id" in frame else None))
                return
            wanted_id = frames.read_id(frame)
            if frame["type"] == "infer" and wanted_id in self.open:
                # Without the id: an error under it would look like the end of the request that is open.
                raise Invalid(f"'id' {wanted_id!r} belongs to a request that is still open; choose another.")
            client_id = wanted_id
            if frame["type"] == "cancel":
                self._cancel(client_id)
            else:
                self._start(client_id, frame)
        except InferenceError as error:
            request = self._request()
            self.service.refused(request, error)
            self._say(frames.write_error(client_id, error, request.id))

    def _text(self, message: dict[str, Any]) -> str:
        """The frame's text. Raises ``PayloadTooLarge``, also for one that Daphne did not keep, and ``Malformed``."""
        text: str | None = message.get("text")
        size, limit = message.get("too_large") or len((text or "").encode()), self.service.conf.max_body_bytes
        if size > limit:
            raise PayloadTooLarge(f"The frame has {size} bytes; {limit} are allowed.")
        if text is None:
            raise Malformed("This is a binary frame; send JSON in text frames.")
        return text

    def _start(self, client_id: str, frame: dict[str, Any]) -> None:
        if len(self.open) >= MOST_OPEN:
            retry_after_s = self.service.admission.retry_after_s(1)
            raise Overloaded(
                f"{MOST_OPEN} requests are open on this socket; wait for an answer.", retry_after_s=retry_after_s
            )
        self.open[client_id] = asyncio.create_task(self._infer(client_id, frame))

    def _cancel(self, client_id: str) -> None:
        task = self.open.get(client_id)
        if task is None:
            raise Invalid(f"No open request has the 'id' {client_id!r}; it may just have been answered.")
        task.cancel()

    async def _infer(self, client_id: str, frame: dict[str, Any]) -> None:
        request = self._request(frame.get("traceparent"))

        def accepted() -> None:
            self._say(
                frames.write("accepted", client_id, request_id=request.id, traceparent=request.traceparent or None)
            )

        def started(event: Started) -> None:
            self._say(frames.write("started", client_id, batch_size=event.batch_size))

        def token(event: Token) -> None:
            self._say(frames.write_token(client_id, event))

        try:
            outputs = await self.service.answer(
                request,
                lambda: self._read(client_id, frame),
                on_admitted=accepted,
                on_started=started,
                on_token=token,
            )
            answer = self._result(client_id, request, outputs)
        except InferenceError as error:
            answer = frames.write_error(client_id, error, request.id)
        except asyncio.CancelledError:
            answer = self._cancelled(client_id, request)
        del self.open[client_id]
        self._inputs.pop(client_id, None)
        self._say(answer)

    def _result(self, client_id: str, request: Request, outputs: list[bytes]) -> str:
        """The last frame of a request; of a stream, the last token goes before it."""
        generation_result = request.generation_result
        if generation_result is not None and generation_result.live and generation_result.finish_reason != "cancelled":
            self._say(frames.write_token(client_id, generation_result.tokens[-1]))
        return frames.write_result(
            client_id, request.id, outputs, request.times(), generation_result, many=request.many
        )

    def _cancelled(self, client_id: str, request: Request) -> str:
        """A stream that has begun ends in what it was so far."""
        generation_result = request.generation_result
        if generation_result is not None and generation_result.live and generation_result.tokens:
            return self._result(client_id, request, [msgspec.json.encode(generation_result.output())])
        return frames.write_error(client_id, Cancelled("Cancelled, as asked."), request.id)

    def _read(self, client_id: str, frame: dict[str, Any]) -> Query:
        """The request, if this socket has credit for its inputs. Raises ``Overloaded``, and as ``read_infer`` does."""
        query = frames.read_infer(frame, self.service.conf.max_deadline_s)
        inputs, others = len(query.inputs), sum(self._inputs.values())
        if others and others + inputs > MOST_OPEN_INPUTS:
            raise Overloaded(
                f"{others} inputs are open on this socket and {MOST_OPEN_INPUTS} are allowed; wait for an answer.",
                retry_after_s=self.service.admission.retry_after_s(others + inputs - MOST_OPEN_INPUTS),
            )
        self._inputs[client_id] = inputs
        return query

    def _request(self, traceparent: object = None) -> Request:
        """In the trace that the frame names, or else the one of the handshake."""
        return Request(
            transport=InferenceRequest.Transport.WEBSOCKET,
            client=client_address(self.scope),
            peer=peer(self.scope),
            traceparent=tracing.child(traceparent) or tracing.child(header(self.scope, b"traceparent")),
        )

    def _say(self, frame: str) -> None:
        self._outgoing.say(frame)

    def _cut_off(self, untaken: int) -> None:
        """The client does not read. The socket is closed as soon as the server has taken what it was given last."""
        logger.info(
            "A client does not read (websocket, %s): cut off with %d bytes", client_address(self.scope), untaken
        )
        self.service.metrics.cut_off(InferenceRequest.Transport.WEBSOCKET)
        self._given_up = True
        self._outgoing.drop()
        self._outgoing.close(POLICY_VIOLATION)
        for task in self.open.values():
            task.cancel()

    async def _close_when_draining(self) -> None:
        await self._answered.wait()  # a close before it would be 403: a lie, and no reason to come back
        await self.service.draining.wait()
        while self.open:
            await asyncio.wait(self.open.values())
        self._outgoing.close(SERVICE_RESTART)
