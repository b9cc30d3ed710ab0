"""A host's replies to one web process: one queue, one send at a time, in envelopes."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from inference.messaging.envelopes import pack
from inference.messaging.layer import RETRY_FIRST_S, RETRY_LAST_S, ChannelLayer, send, send_interval_of
from inference.messaging.messages import Cleared, Closing, Event, Message, Replies, Result, Started, Token
from inference.messaging.previous_release import Status

logger = logging.getLogger(__name__)

Make = Callable[[], "Message | Status | None"]
"""Makes a message when it is sent, so that it is current; ``None``: there is nothing to send."""


class Outbox:
    """The queue of events, closing entries and other messages for one web process.

    Entries are sent in order, packed into envelopes; a refused send is repeated until the task of ``run`` is cancelled.

    Args:
        on_taken: called with the closing entries that the layer has taken.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        channel: str,
        host: str,
        on_taken: Callable[[list[Closing]], None],
    ) -> None:
        self._layer = layer
        self._channel = channel
        self._host = host
        self._on_taken = on_taken
        self._entries: deque[Event | Closing] = deque()
        self._due: dict[str, Make] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._send_interval_s = send_interval_of(layer)

    def put(self, entry: "Event | Closing") -> None:
        self._entries.append(entry)
        self._wake_up()

    def due(self, name: str, make: Make) -> None:
        """Send this after the entries that wait now, once, however often it is due until then."""
        self._due[name] = make
        self._wake_up()

    async def flushed(self) -> None:
        """Wait until the layer has taken everything."""
        await self._idle.wait()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._entries or self._due:
                if self._entries:
                    await self._send_entries()
                if self._due:
                    await self._send_until_taken(self._due.pop(next(iter(self._due))))
                if self._send_interval_s:
                    await asyncio.sleep(self._send_interval_s)
            self._idle.set()

    def _wake_up(self) -> None:
        self._idle.clear()
        self._wake.set()

    async def _send_entries(self) -> None:
        packed = pack(self._entries, lambda entry: len(entry.output) if isinstance(entry, Result) else 0)
        replies = Replies(self._host, tuple(packed))
        await self._send_until_taken(lambda: replies)
        self._on_taken([entry for entry in packed if not isinstance(entry, Started | Cleared | Token)])

    async def _send_until_taken(self, make: Make) -> None:
        """``make`` is called for each attempt."""
        pause_s = RETRY_FIRST_S
        while True:
            try:
                if (message := make()) is not None:
                    await send(self._layer, self._channel, message)
            except Exception as error:
                logger.debug("Sending to %s failed: %r", self._channel, error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_LAST_S)
            else:
                return
