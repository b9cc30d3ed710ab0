"""Daphne's HTTP, with limits on what a client sends, how fast, and what it leaves unread."""

import logging
import sys
import time
from typing import Any

from daphne import access, http_protocol
from twisted.internet import reactor
from twisted.web import http
from twisted.web.http_headers import Headers

from inference import conf
from inference.errors import (
    Draining,
    HeadersTooLarge,
    InferenceError,
    Internal,
    Malformed,
    PayloadTooLarge,
    UploadTooSlow,
)
from inference.models import InferenceRequest
from inferencesite import refusals
from inferencesite.pace import LEAST_BYTES_PER_S, Pace
from inferencesite.unsent import Unsent, forget_unsent

access_log = logging.getLogger("daphne.access")
HTTP = InferenceRequest.Transport.HTTP
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
        self._unsent = Unsent(reactor.callLater, self.conf.stall_s, self.conf.max_reply_bytes)
        self._received = 0
        self._requests_received = 0
        self._watch: Any = None
        self._refused = False

    # What comes in

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        self._received += len(data)
        super().dataReceived(data)
        if self._watch is None and self._receiving():
            self._look_later(Pace(self.conf.stall_s, self._received), self._requests_received)

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
        headers, body = refusals.refuse(HTTP, self.transport.getPeer(), error)
        self.setTimeout(None)
        self._networkProducer.unregisterProducer()
        self.writeHeaders(b"HTTP/1.1", b"%d" % error.status, http.RESPONSES[error.status], headers)
        self.write(body)
        getattr(self.transport, "loseWriteConnection", self.transport.loseConnection)()  # TLS cannot close one half
        self._stop_watch()
        self._watch = reactor.callLater(LINGER_S, self.transport.abortConnection)

    def _receiving(self) -> bool:
        """A request has begun and is not complete."""
        return not self._refused and not self._handlingRequest and bool(self.requests or self._buffer)

    def _look_later(self, pace: Pace, number: int) -> None:
        self._watch = reactor.callLater(pace.look_every_s, self._look, pace, number)

    def _look(self, pace: Pace, number: int) -> None:
        self._watch = None
        if not self._receiving():
            return
        if number != self._requests_received:
            pace = Pace(self.conf.stall_s, self._received)
        if pace.stalls(self._received):
            rate = f"{LEAST_BYTES_PER_S} bytes per second over {self.conf.stall_s:g} s"
            self.refuse(UploadTooSlow(f"The request came too slowly; {rate} are the least."))
        else:
            self._look_later(pace, self._requests_received)

    def _stop_watch(self) -> None:
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        self._watch = None

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
    return protocol is not None and bool(protocol._handlingRequest)


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

    def process(self) -> None:
        """Under overload most requests are refused: here, at less than two thirds of what it costs further in."""
        behind_proxy = self.server.proxy_forwarded_address_header  # whose clients are told apart later
        if self.method == b"POST" and self.path == b"/" and not behind_proxy:
            error = refusals.at_the_door(self.client, self._header(b"x-request-timeout-seconds") or None)
            if error is not None:
                self.request_start = time.time()
                names = self._header(b"x-request-id"), self._header(b"traceparent")
                headers, payload = refusals.refuse(HTTP, self.client, error, names, close=isinstance(error, Draining))
                self.handle_reply({"type": "http.response.start", "status": error.status, "headers": headers})
                self.handle_reply({"type": "http.response.body", "body": payload})
                return
        super().process()

    def _header(self, name: bytes) -> str:
        """As the consumers read it: any byte is a character."""
        value: bytes = self.getHeader(name) or b""
        return value.decode("latin-1")

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
        headers, payload = refusals.refuse(HTTP, self.channel.getPeer(), error)
        self.handle_reply({"type": "http.response.start", "status": error.status, "headers": headers})
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
