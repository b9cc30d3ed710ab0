"""The WebSocket consumer: many requests at once on one socket, each under the client's own id."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from inference.access import credentials
from inference.access.checking import ENDED
from inference.access.open_work import KeyUse
from inference.access.principal import ANYONE, Principal
from inference.api.dialects.base import Cancel, Rejected, Say, Socket, SocketWriter, Start
from inference.api.handshake import Event, identify, refused_handshake
from inference.api.hosts import allowed_host, allowed_origin
from inference.api.outgoing import Outgoing
from inference.api.rights import check_route
from inference.api.scope import Transport, client_address, websocket_context
from inference.errors import InferenceError, Invalid, Malformed, Overloaded, PayloadTooLarge
from inference.messaging.messages import Started, Token
from inference.serving.bug import log_bug
from inference.serving.deployment import Deployment
from inference.serving.generation_result import GenerationResult
from inference.serving.progress import Progress
from inference.serving.query import Query
from inference.serving.result import Served
from inference.serving.service import Service

logger = logging.getLogger(__name__)

MOST_OPEN = 128
"""Requests open at once on one socket."""
MOST_OPEN_INPUTS = 256
"""Inputs in them; one request may have more if ``INFERENCE_MAX_INPUTS`` allows it."""
POLICY_VIOLATION, SERVICE_RESTART = 1008, 1012


class OpenRequest(Progress):
    """A request that has no last frame yet."""

    wants_started = True

    def __init__(self, start: Start, writer: SocketWriter, say: Callable[..., None]) -> None:
        self.query: Query | None = None
        self.inputs = 0
        self.task: asyncio.Task[None] | None = None
        self.generation: GenerationResult | None = None
        """Of a stream that has begun."""
        self.writer = writer
        self._start = start
        self._say = say

    def read(self) -> Query:
        self.query = self._start.read()
        return self.query

    def admitted(self, served: Served) -> None:
        self._say(*self.writer.accepted(served))

    def started(self, event: Started) -> None:
        self._say(*self.writer.started(event))

    def token(self, token: Token, generation: GenerationResult) -> None:
        self.generation = generation
        self._say(*self.writer.token(token, generation))

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


class SocketConsumer(AsyncConsumer):
    """Serves the sockets of dialects.

    A consumer handles one event at a time, so its methods only start tasks and return. All frames are sent through
    one queue, in order. It takes no channel of its own.
    """

    channel_layer_alias = "none"
    service: Service

    def __init__(self, *, make_socket: Callable[[], Socket], dialect: str = "") -> None:
        self._dialect = dialect
        self._socket = make_socket()
        self._open: dict[str, OpenRequest] = {}
        self._lanes: dict[str, asyncio.Task[None]] = {}
        """What answers the last request of each lane that has open ones."""
        self._accepted = asyncio.Event()
        self._given_up = False
        self._principal: Principal = ANYONE
        self._use: KeyUse | None = None
        """Of the socket itself; each request has its own."""
        self._closing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.service = scope["service"]
        self._caller = identify(scope)
        self._outgoing = Outgoing(self.service.conf.max_reply_bytes, self._cut_off)
        helpers = [asyncio.create_task(self._outgoing.write(send)), asyncio.create_task(self._close_when_draining())]
        try:
            await super().__call__(scope, receive, send)
        finally:
            for helper in helpers:
                helper.cancel()
            for request in self._open.values():
                request.cancel()
            if self._use is not None:
                self._use.end()

    async def dispatch(self, message: Any) -> None:
        # Without AsyncConsumer's aclose_old_connections(): a thread hop per frame that one slow query would block.
        match message["type"]:
            case "websocket.connect":
                for answer in (answers := self._handshake()):
                    self._outgoing.put(answer)
                if answers[-1]["type"] == "websocket.accept":
                    self._accepted.set()
            case "websocket.receive" if not self._given_up:
                self._receive(message)
            case "websocket.disconnect":
                raise StopConsumer

    def _handshake(self) -> list[Event]:
        if not (allowed_host(self.scope) and allowed_origin(self.scope)):
            return [{"type": "websocket.close"}]
        pipeline = self.scope.get("pipeline")
        if isinstance(self._caller, Principal) and pipeline is not None and not self._caller.may_use(pipeline):
            return [{"type": "websocket.close"}]  # as where there is none of that name
        try:
            self._admit()
        except InferenceError as error:
            return refused_handshake(self.scope, error)
        offered = self.scope.get("subprotocols") or ()
        chosen = credentials.SUBPROTOCOL if credentials.SUBPROTOCOL in offered else None
        return [{"type": "websocket.accept", "subprotocol": chosen}]

    def _admit(self) -> None:
        """Raises as ``HttpConsumer.admit``."""
        if isinstance(self._caller, InferenceError):
            raise self._caller
        self._principal = self._caller
        self.service.seen_by(self._principal)
        check_route(self._principal, self.scope)
        self._use = self.service.access.use(self._principal, self._key_ended)

    def _receive(self, message: dict[str, Any]) -> None:
        """A bad frame gets an error, never a closed socket; it is logged like any refused request."""
        current = self.service.access.current(self._principal)
        if current is None:
            self._key_ended()
            return
        self._principal = current
        try:
            check_route(current, self.scope)
            deployment = self.service.seen_by(current)
            received = self._socket.receive(self._text(message, deployment), deployment, self.scope.get("pipeline"))
        except InferenceError as refused:
            received = Rejected(None, refused)
        match received:
            case Say(frames):
                self._say(*frames)
            case Rejected(client_id, error):
                self._refuse(client_id, error)
            case Cancel(client_id):
                self._cancel(client_id)
            case Start():
                self._begin(received)

    def _text(self, message: dict[str, Any], deployment: Deployment) -> str:
        """The frame's text. Raises ``PayloadTooLarge``, also for one that Daphne did not keep, and ``Malformed``."""
        text: str | None = message.get("text")
        size, limit = (
            message.get("too_large") or len((text or "").encode()),
            self.service.most_body_bytes(self.scope.get("pipeline"), deployment.catalog),
        )
        if size > limit:
            raise PayloadTooLarge(f"The frame has {size} bytes; {limit} are allowed.")
        if text is None:
            raise Malformed("This is a binary frame; send JSON in text frames.")
        return text

    def _refuse(self, client_id: str | None, error: InferenceError) -> None:
        context = websocket_context(self.scope, principal=self._principal, dialect=self._dialect)
        self.service.refused(context, error, self.scope.get("pipeline", ""))
        self._say(self._socket.error(client_id, context, error))

    def _cancel(self, client_id: str) -> None:
        if request := self._open.get(client_id):
            request.cancel()
        else:
            sentence = f"No open request has the 'id' {client_id!r}; it may just have been answered."
            self._refuse(client_id, Invalid(sentence))

    def _begin(self, start: Start) -> None:
        if start.id in self._open:
            # Without the id: an error under it would look like the end of the open request.
            sentence = f"'id' {start.id!r} belongs to a request that is still open; choose another."
            self._refuse(None, Invalid(sentence))
        elif len(self._open) >= MOST_OPEN:
            self._refuse(start.id, self._too_many(f"{MOST_OPEN} requests are open on this socket", 1))
        else:
            self._start(start)

    def _start(self, start: Start) -> None:
        context = websocket_context(self.scope, start.traceparent, self._principal, self._dialect)
        request = self._open[start.id] = OpenRequest(start, self._socket.writer(start.id, context), self._say)
        before = None if start.lane is None else self._lanes.get(start.lane)

        async def answer() -> None:
            try:
                if before is not None:
                    await asyncio.wait([before])
                result = await self.service.answer(
                    context, lambda: self._read(request), request, self.scope.get("pipeline")
                )
                frames = list(request.writer.end(result))
            except InferenceError as error:
                frames = [request.writer.error(error)]
            except asyncio.CancelledError:
                frames = [request.writer.cancelled(request.query, request.generation)]
            except Exception as unexpected:
                frames = [request.writer.error(log_bug(unexpected, context.id, context.traceparent))]
            finally:
                del self._open[start.id]
            self._say(*frames)

        request.task = asyncio.create_task(answer())
        if start.lane is not None:
            self._lanes[start.lane] = request.task
            request.task.add_done_callback(partial(self._leave, start.lane))

    def _leave(self, lane: str, task: asyncio.Task[None]) -> None:
        if self._lanes[lane] is task:
            del self._lanes[lane]

    def _read(self, request: OpenRequest) -> Query:
        """The query, if this socket may have so many inputs open. Raises ``Overloaded``, and as ``Start.read`` does."""
        query = request.read()
        inputs, others = len(query.inputs) * query.choices, sum(other.inputs for other in self._open.values())
        if others and others + inputs > MOST_OPEN_INPUTS:
            reason = f"{others} inputs are open on this socket and {MOST_OPEN_INPUTS} are allowed"
            raise self._too_many(reason, others + inputs - MOST_OPEN_INPUTS)
        request.inputs = inputs
        return query

    def _too_many(self, reason: str, inputs: int) -> Overloaded:
        """``inputs`` must be answered first."""
        return Overloaded(
            f"{reason}; wait for an answer.",
            retry_after_s=self.service.admission(self.scope.get("pipeline")).seconds_until_answered(inputs),
        )

    def _say(self, *frames: str) -> None:
        for frame in frames:
            self._outgoing.say(frame)

    def _cut_off(self, untaken: int) -> None:
        """The client does not read: close the socket once the server has taken the last frame that it was given."""
        logger.info(
            "A client does not read (websocket, %s): cut off with %d bytes", client_address(self.scope), untaken
        )
        self.service.metrics.cut_off(Transport.WEBSOCKET)
        self._given_up = True
        self._outgoing.drop()
        self._outgoing.close(POLICY_VIOLATION)
        for request in self._open.values():
            request.cancel()

    def _key_ended(self) -> None:
        """Its requests end with an error each; nothing that is received later is read."""
        self._given_up = True
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(POLICY_VIOLATION, ENDED))

    async def _close_when_draining(self) -> None:
        await self._accepted.wait()  # a close before it would be 403, and no reason to come back
        await self.service.draining.wait()
        await self._close(SERVICE_RESTART)

    async def _close(self, code: int, reason: str = "") -> None:
        """Once the requests that are open have ended."""
        while self._open:
            await asyncio.wait([request.task for request in self._open.values() if request.task])
        self._outgoing.close(code, reason)
