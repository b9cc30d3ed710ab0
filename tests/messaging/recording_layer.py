"""A channel layer for tests that records what it takes, and fails as it is told."""

import asyncio
from typing import Any

from channels.exceptions import ChannelFull

from inference.messaging.codec import decode
from inference.messaging.messages import Message
from inference.messaging.previous_release import Status
from tests.virtual_time import START_S


class RecordingLayer:
    """Refuses, delays, freezes and loses on command, and keeps what it took. Moments count from the clock's start."""

    def __init__(self) -> None:
        self.refusing = self.frozen = self.losing = False
        self.delay_s = 0.0
        self.tried_at_s: list[float] = []
        self.taken: list[tuple[float, str, Message | Status]] = []
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sending = 0
        self.most_sending = 0

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        self.tried_at_s.append(now_s())
        self.sending += 1
        self.most_sending = max(self.most_sending, self.sending)
        try:
            if self.frozen:
                await asyncio.Event().wait()
            await asyncio.sleep(self.delay_s)
            if self.refusing:
                raise ChannelFull(channel)
            if not self.losing:
                self.taken.append((now_s(), channel, decode(message)))
        finally:
            self.sending -= 1

    async def receive(self, channel: str) -> Any:
        """What a test put into ``incoming``; an exception is raised."""
        self.tried_at_s.append(now_s())
        message = await self.incoming.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def group_add(self, group: str, channel: str) -> None: ...
    async def group_discard(self, group: str, channel: str) -> None: ...
    async def group_send(self, group: str, message: dict[str, Any]) -> None: ...

    def said_to(self, channel: str) -> list[Message | Status]:
        return [message for _, receiver, message in self.taken if receiver == channel]


def now_s() -> float:
    return asyncio.get_running_loop().time() - START_S
