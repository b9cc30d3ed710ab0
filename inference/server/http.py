"""Daphne's HTTP, with limits on what a client sends, how fast, and what it leaves unread."""

import logging
import sys
from contextlib import suppress
from typing import Any

from daphne import access, http_protocol
from twisted.internet import reactor, tcp
from twisted.web import http
from twisted.web.http_headers import Headers

from inference import conf
from inference.api.dialects import registry
from inference.errors import HeadersTooLarge, InferenceError, Internal, Malformed, PayloadTooLarge, UploadTooSlow
from inference.models import InferenceRequest
from inference.server import early_refusal, refusals
from inference.server.backpressure import Backpressure, forget_unsent, unsent_bytes
from inference.server.stalls import LEAST_BYTES_PER_S, StallDetector

access_log = logging.getLogger("daphne.access")
HTTP = InferenceRequest.Transport.HTTP
gate = early_refusal.EarlyRefusal(reactor.callLater)
LINGER_S = 5.0
"""How long a refused upload is still read, and thrown away: closing at once would take the answer from its client."""


class Channel(http.HTTPChannel):  # type: ignore[misc]
    """One HTTP connection.

    A request that is too large, too slow or no HTTP is refused here, as soon as that is known. Daphne starts the
    application when the whole body is there, and has no limit for either.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conf = conf.current()
        self._unsent = Backpressure(reactor.callLater, self.conf.stall_s, self.conf.max_reply_bytes)
        self._received = 0
        self._requests_received = 0
        self._watch: Any = None
        self._refused = False
        self._held = b""
        """A plain request that is not complete yet."""
        self.waits = self.gone = False
        """Its request waits to be refused; the connection is lost."""
        self._later = b""

    # What comes in

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        if self.waits:
            self._later += data
            self.transport.pauseProducing()
            return
        self._received += len(data)
        if self._held or self._between_requests():
            data = self._held + data
            proxy = self.factory.server.proxy_forwarded_address_header
            head = early_refusal.read(data, most_body_bytes=self.conf.max_body_bytes, forwarded_for=proxy or "")
            self._held = data if head and head.missing else b""
            if head and not self._held and gate.takes(self, data, head):
                self._requests_received += 1
                return
        if not self._held:
            super().dataReceived(data)
        if self._watch is None and self._receiving():
            self._look_later(StallDetector(self.conf.stall_s, self._received), self._requests_received)

    def _between_requests(self) -> bool:
        idle = not (self._handlingRequest or self.requests or self._buffer or self._dataBuffer)
        return idle and bool(self.persistent)

    def lineReceived(self, line: bytes) -> None:
        if not self._refused:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._refused:
            super().rawDataReceived(data)

    def allHeadersReceived(self) -> None:
        if self.length is not None and self.length > self.conf.max_body_bytes:
            self.refuse(PayloadTooLarge(f"The body has {self.length} bytes; {self.conf.max_body_bytes} are allowed."))
        else:
            super().allHeadersReceived()

    def allContentReceived(self) -> None:
        self._requests_received += 1
        if not self._refused:
            super().allContentReceived()

    def lineLengthExceeded(self, line: bytes) -> None:
        self._receivedHeaderSize += len(line)
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            limits = f"{self.totalHeadersSize} bytes and {self.maxHeaders} headers"
            self.refuse(HeadersTooLarge(f"The request line and headers are too large; {limits} are allowed."))
        else:
            self.refuse(Malformed("This is not valid HTTP/1.1."))

    def refuse(self, error: InferenceError) -> None:
        """Answer, and close without reading on."""
        if self._refused:
            return
        self._refused = True
        context = refusals.context_of(HTTP, self.asker("")[0])
        status, headers, body = refusals.refuse(registry.of_path(self.request_path()), context, error)
        self.setTimeout(None)
        self._networkProducer.unregisterProducer()
        self.writeHeaders(b"HTTP/1.1", b"%d" % status, http.RESPONSES[status], headers)
        self.write(body)
        getattr(self.transport, "loseWriteConnection", self.transport.loseConnection)()  # TLS cannot close one half
        self._stop_watch()
        self._watch = reactor.callLater(LINGER_S, self.transport.abortConnection)

    def request_path(self) -> str:
        """Of the request that is being received; ``/`` where it is not known."""
        target = getattr(self, "_path", b"/") if self.requests else b"/"
        if self._held:
            _, target, *_ = self._held.split(b" ", 2)
        return str(target.partition(b"?")[0].decode("latin-1"))

    def _receiving(self) -> bool:
        """A request has begun and is not complete."""
        return not self._refused and not self._handlingRequest and bool(self.requests or self._buffer or self._held)

    def _look_later(self, pace: StallDetector, number: int) -> None:
        self._watch = reactor.callLater(pace.look_every_s, self._look, pace, number)

    def _look(self, pace: StallDetector, number: int) -> None:
        self._watch = None
        if not self._receiving():
            return
        if number != self._requests_received:
            pace = StallDetector(self.conf.stall_s, self._received)
        if pace.stalls(self._received):
            rate = f"{LEAST_BYTES_PER_S} bytes per second over {self.conf.stall_s:g} s"
            self.refuse(UploadTooSlow(f"The request came too slowly; {rate} are the least."))
        else:
            self._look_later(pace, self._requests_received)

    def _stop_watch(self) -> None:
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        self._watch = None

    # A request that is refused early

    @property
    def answering(self) -> bool:
        """A request is being answered, or waits to be refused."""
        return self._handlingRequest or self.waits

    def asker(self, forwarded_for: str) -> tuple[str | None, int]:
        """Address and port of who asks, as Daphne tells them to the application; ``None`` behind a Unix socket."""
        peer = self.transport.getPeer()
        if forwarded_for:
            return forwarded_for.split(",")[0].strip(), 0
        return getattr(peer, "host", None), getattr(peer, "port", 0)

    def read_on(self) -> None:
        """What came while it waited."""
        later, self._later = self._later, b""
        if later and not self.gone:
            self.transport.resumeProducing()
            self.dataReceived(later)

    def parse(self, data: bytes) -> None:
        """There is room after all."""
        super().dataReceived(data)

    def answer(self, data: bytes, *, close: bool) -> None:
        """Instead of Twisted, which has not seen the request. What the kernel takes need not wait for the loop."""
        self.resetTimeout()
        sent = 0
        if isinstance(self.transport, tcp.Connection) and not unsent_bytes(self.transport):
            with suppress(OSError):  # full, or gone: Twisted will find out
                sent = self.transport.socket.send(data)
        if sent < len(data):
            self.write(data[sent:])
        if close:
            self.loseConnection()

    # What goes out

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        """An answer that says so is the last one of its connection."""
        if isinstance(headers, Headers) and b"close" in headers.getRawHeaders(b"connection", ()):
            self.persistent = False
        super().writeHeaders(version, code, reason, headers)

    def write(self, data: bytes) -> None:
        super().write(data)
        self._unsent.wrote(self.transport, len(data), self._cut_off)

    def writeSequence(self, iovec: Any) -> None:
        super().writeSequence(iovec)
        self._unsent.wrote(self.transport, sum(map(len, iovec)), self._cut_off)

    def loseConnection(self) -> None:
        """Twisted would wait for ever until the client has taken the last bytes."""
        self.setTimeout(self.factory.timeOut)
        super().loseConnection()

    def connectionLost(self, reason: Any) -> None:
        self.gone = True
        self._unsent.stop()
        self._stop_watch()
        forget_unsent(self.transport)
        super().connectionLost(reason)

    def _cut_off(self, unsent: int) -> None:
        """The consumer hears ``http.disconnect``."""
        refusals.cut_off(HTTP, self.transport.getPeer(), unsent)
        self.transport.abortConnection()


def answering(transport: Any) -> bool:
    """Whether a request on this connection (of TCP, with HTTP or anything else on it) is being answered."""
    protocol = transport.protocol
    while protocol is not None and not isinstance(protocol, Channel):
        protocol = getattr(protocol, "wrappedProtocol", None) or getattr(protocol, "_channel", None)
    return protocol is not None and protocol.answering


class Request(http_protocol.WebRequest):  # type: ignore[misc]
    """Leaves forms to the application: Twisted parses them on the event loop, 20 MB of them for seconds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, parsePOSTFormSubmission=False)
        self._size = 0

    def handleContentChunk(self, data: bytes) -> None:
        """Of a body whose length was not declared, the size is known as it comes."""
        self._size += len(data)
        limit = self.channel.conf.max_body_bytes
        if self._size > limit:
            self.channel.refuse(PayloadTooLarge(f"The body has more than {limit} bytes; {limit} are allowed."))
        else:
            super().handleContentChunk(data)

    def handle_exception(self, exception: BaseException) -> None:
        """The application has left: the connection ends where the answer has no end, and the client sees that."""
        if not self._response_started:
            super().handle_exception(exception)
        elif self.chunked or self.responseHeaders.hasHeader(b"content-length"):
            self.channel.loseConnection()
        else:
            self.channel.transport.abortConnection()

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """What Daphne itself answers, as the application's errors look."""
        error = Malformed(f"{body}.") if status == 400 else Internal("This server has a bug; its log has the details.")
        context = refusals.context_of(HTTP, getattr(self.channel.getPeer(), "host", None))
        status, headers, payload = refusals.refuse(registry.of_path(self.channel.request_path()), context, error)
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": payload})


write_entry = access.AccessLogGenerator.write_entry


def log_access(self: Any, host: str, date: Any, request: str, status: Any = None, *args: Any, **kwargs: Any) -> None:
    """Where all else goes, at DEBUG, since what concerns the model has a record of its own.

    A file named by ``--access-log`` has it as Daphne writes it.
    """
    if self.stream is sys.stdout:
        access_log.debug("%s %s %s", host, request, status or "-", extra={"client": host, "status": status})
    else:
        write_entry(self, host, date, request, status, *args, **kwargs)


def install() -> None:
    http_protocol.WebRequest = Request
    http_protocol.HTTPFactory.protocol = staticmethod(lambda: http._GenericHTTPChannelProtocol(Channel()))
    access.AccessLogGenerator.write_entry = log_access
    http.RESPONSES[413], http.RESPONSES[422] = b"Content Too Large", b"Unprocessable Content"
    http.RESPONSES[431] = b"Request Header Fields Too Large"
