"""One HTTP connection as early refusal needs it: it gets each plain request before Twisted parses it."""

from contextlib import suppress
from typing import Any

from twisted.internet import tcp

from inference.server import early_refusal
from inference.server.http_limits import LimitedChannel
from inference.server.slow_readers import unsent_bytes
from inference.server.timers import call_later

refuser = early_refusal.EarlyRefusal(call_later)


class Connection(LimitedChannel):
    def __init__(self) -> None:
        super().__init__()
        self.waiting = False
        """A request waits to be refused."""
        self.lost = False
        self._incomplete = b""
        """The beginning of a plain request."""
        self._later = b""
        """What arrived while a request waited."""

    @property
    def answering(self) -> bool:
        """Whether a request is being answered, or waits to be refused."""
        return self._handlingRequest or self.waiting

    def dataReceived(self, data: bytes) -> None:
        if self.waiting:
            self._later += data
            self.transport.pauseProducing()
        else:
            super().dataReceived(data)

    def receive(self, data: bytes) -> None:
        if self._incomplete or self._between_requests():
            data = self._incomplete + data
            proxy = self.factory.server.proxy_forwarded_address_header
            head = early_refusal.read(data, most_body_bytes=self.conf.max_body_bytes, forwarded_for=proxy or "")
            self._incomplete = data if head and head.missing else b""
            if self._incomplete:
                return
            if head and refuser.takes(self, data, head):
                self._requests_received += 1
                return
        super().receive(data)

    def _between_requests(self) -> bool:
        idle = not (self._handlingRequest or self.requests or self._buffer or self._dataBuffer)
        return idle and bool(self.persistent)

    def target(self) -> str:
        if not self._incomplete:
            return super().target()
        _, target, *_ = self._incomplete.split(b" ", 2)
        return target.decode("latin-1")

    def header(self, name: bytes) -> str:
        return early_refusal.header(self._incomplete, name) if self._incomplete else super().header(name)

    def _receiving(self) -> bool:
        return super()._receiving() or (bool(self._incomplete) and not self._refused)

    def parse(self, data: bytes) -> None:
        """Process a complete request that is not refused."""
        super().receive(data)

    def answer(self, data: bytes, *, close: bool) -> None:
        """Send the answer to a request that Twisted has not parsed; at once, as far as the kernel takes it."""
        self.resetTimeout()
        sent = 0
        if isinstance(self.transport, tcp.Connection) and not unsent_bytes(self.transport):
            with suppress(OSError):  # its buffer is full, or the connection is lost, which Twisted notices
                sent = self.transport.getHandle().send(data)
        if sent < len(data):
            self.write(data[sent:])
        if close:
            self.loseConnection()

    def resume(self) -> None:
        """Process what arrived while the request waited."""
        later, self._later = self._later, b""
        if later and not self.lost:
            self.transport.resumeProducing()
            self.dataReceived(later)

    def connectionLost(self, reason: Any) -> None:
        self.lost = True
        super().connectionLost(reason)
