"""The socket of a live page: for staff that is logged in, and only as long as it is."""

import asyncio
import logging
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from django.db import Error

from inference.access import credentials
from inference.api.handshake import Event, refused_handshake
from inference.api.hosts import allowed_host, own_origin
from inference.api.live.feed import PERMISSIONS, VIEW, LiveFeed, feed_of
from inference.api.outgoing import Outgoing
from inference.api.scope import Transport, client_address
from inference.api.staff import Permissions, permissions_of, session_key
from inference.api.websocket import POLICY_VIOLATION, SERVICE_RESTART
from inference.errors import Forbidden, InferenceError, Overloaded
from inference.serving.service import Service

logger = logging.getLogger(__name__)

PATH = "/ws/live/"
MOST_PAGES = 500
MOST_WAITING_BYTES = 2**18
"""Of frames that a page has not taken; it is closed then, and gets everything when it comes back."""
NOT_STAFF = "The live page is for staff that is logged in and has the permission inference.view_live."
NO_DATABASE = "Whether this is staff cannot be looked up: the database does not answer."


class LiveConsumer(AsyncConsumer):
    """Sends what ``LiveFeed`` says; what it receives does not matter. It takes no channel of its own."""

    channel_layer_alias = "none"
    service: Service

    def __init__(self) -> None:
        self.session_key = ""
        self.permissions: Permissions = None
        self.knows_all = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        credentials.take(scope)  # keys are for inference
        self.service: Service = scope["service"]
        self._feed: LiveFeed = feed_of(self.service)
        self._outgoing = Outgoing(MOST_WAITING_BYTES, self._cut_off)
        self._helpers = [asyncio.create_task(self._outgoing.write(send))]
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feed.leave(self)
            for helper in self._helpers:
                helper.cancel()

    async def dispatch(self, message: Any) -> None:
        match message["type"]:
            case "websocket.connect":
                for answer in await self._handshake():
                    self._outgoing.put(answer)
            case "websocket.disconnect":
                raise StopConsumer

    def say(self, frame: str) -> None:
        self._outgoing.say(frame)

    def lost_permission(self) -> None:
        self._feed.leave(self)
        self._outgoing.close(POLICY_VIOLATION, "no permission any more")

    async def _handshake(self) -> list[Event]:
        if not (allowed_host(self.scope) and own_origin(self.scope)):
            return [{"type": "websocket.close"}]
        try:
            await self._admit()
        except InferenceError as error:
            return refused_handshake(self.scope, error)
        self._helpers.append(asyncio.create_task(self._close_when_draining()))
        self._feed.join(self)
        return [{"type": "websocket.accept"}]

    async def _admit(self) -> None:
        """Raises ``Forbidden``, and ``Overloaded`` where that cannot be known."""
        key = session_key(self.scope)
        if not key:
            raise Forbidden(NOT_STAFF)
        try:
            permissions = (await permissions_of([key], PERMISSIONS))[key]
        except Error:
            raise Overloaded(NO_DATABASE, retry_after_s=1) from None
        if permissions is None or VIEW not in permissions:
            raise Forbidden(NOT_STAFF)
        if len(self._feed) >= MOST_PAGES:
            raise Overloaded(f"{MOST_PAGES} live pages are open.", retry_after_s=1)
        self.session_key, self.permissions = key, permissions

    async def _close_when_draining(self) -> None:
        await self.service.draining.wait()
        self._feed.leave(self)
        self._outgoing.close(SERVICE_RESTART)

    def _cut_off(self, untaken: int) -> None:
        """It does not read."""
        logger.info("A live page does not read (%s): cut off with %d bytes", client_address(self.scope), untaken)
        self.service.metrics.cut_off(Transport.WEBSOCKET)
        self._feed.leave(self)
        self._outgoing.drop()
        self._outgoing.close(POLICY_VIOLATION)
