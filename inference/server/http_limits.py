"""Limits of one HTTP connection: on the size and speed of requests, and on answers that the client leaves unread."""

from typing import Any

from twisted.internet import reactor
from twisted.web import http
from twisted.web.http_headers import Headers

from inference import conf
from inference.api.dialects import registry
from inference.errors import HeadersTooLarge, InferenceError, Malformed, PayloadTooLarge, UploadTooSlow
from inference.models import InferenceRequest
from inference.server import refusals
from inference.server.slow_readers import SlowReaderWatch, discard_unsent
from inference.server.stalls import LEAST_BYTES_PER_S, StallDetector

HTTP = InferenceRequest.Transport.HTTP
LINGER_S = 5.0
"""How long the rest of a refused upload is read and discarded: closing at once would discard the answer as well."""


class LimitedChannel(http.HTTPChannel):  # type: ignore[misc]
    """Refuses a request that is too large, too slow or invalid as soon as that is known.

    Daphne starts the application when the whole body has arrived, and limits neither its size nor its speed.
    """

    _path = b"/"
    """Twisted has it only while a request is being received."""

    def __init__(self) -> None:
        super().__init__()
        self.conf = conf.current()
        self._reader_watch = SlowReaderWatch(reactor.callLater, self.conf.stall_s, self.conf.max_reply_bytes)
        self._bytes_received = 0
        self._requests_received = 0
        self._timer: Any = None
        """Checks the upload; after a refusal, ends the connection."""
        self._refused = False

    # Requests

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        self._bytes_received += len(data)
        self.receive(data)
        if self._timer is None and self._receiving():
            self._check_later(StallDetector(self.conf.stall_s, self._bytes_received), self._requests_received)

    def receive(self, data: bytes) -> None:
        """Give the data to Twisted's parser."""
        super().dataReceived(data)

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
        """Answer with the error, and close without processing what else is received."""
        if self._refused:
            return
        self._refused = True
        context = refusals.context_of(HTTP, getattr(self.transport.getPeer(), "host", None))
        status, headers, body = refusals.refuse(registry.of_path(self.request_path()), context, error)
        self.setTimeout(None)
        self.transport.unregisterProducer()
        self.writeHeaders(b"HTTP/1.1", b"%d" % status, http.RESPONSES.get(status, b""), headers)
        self.write(body)
        getattr(self.transport, "loseWriteConnection", self.transport.loseConnection)()  # TLS cannot close one half
        self._stop_timer()
        self._timer = reactor.callLater(LINGER_S, self.transport.abortConnection)

    def request_path(self) -> str:
        """Of the request that is being received; ``/`` where it is not known."""
        return str(self._path.partition(b"?")[0].decode("latin-1"))

    def _receiving(self) -> bool:
        """Whether part of a request has arrived."""
        return not self._refused and not self._handlingRequest and bool(self.requests or self._buffer)

    def _check_later(self, detector: StallDetector, number: int) -> None:
        self._timer = reactor.callLater(detector.interval_s, self._check_upload, detector, number)

    def _check_upload(self, detector: StallDetector, number: int) -> None:
        """``number`` is the value of ``_requests_received`` when the detector was last used."""
        self._timer = None
        if not self._receiving():
            return
        if number != self._requests_received:
            detector = StallDetector(self.conf.stall_s, self._bytes_received)
        if detector.stalls(self._bytes_received):
            rate = f"{LEAST_BYTES_PER_S} bytes per second over {self.conf.stall_s:g} s"
            self.refuse(UploadTooSlow(f"The request came too slowly; {rate} are the least."))
        else:
            self._check_later(detector, self._requests_received)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    # Answers

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        """Close the connection after an answer with ``Connection: close``."""
        if isinstance(headers, Headers) and b"close" in headers.getRawHeaders(b"connection", ()):
            self.persistent = False
        super().writeHeaders(version, code, reason, headers)

    def write(self, data: bytes) -> None:
        super().write(data)
        self._reader_watch.wrote(self.transport, len(data), self._disconnect_slow_reader)

    def writeSequence(self, iovec: Any) -> None:
        super().writeSequence(iovec)
        self._reader_watch.wrote(self.transport, sum(map(len, iovec)), self._disconnect_slow_reader)

    def loseConnection(self) -> None:
        """Twisted alone would wait without limit until the client has taken the last bytes."""
        self.setTimeout(self.factory.timeOut)
        super().loseConnection()

    def connectionLost(self, reason: Any) -> None:
        self._reader_watch.stop()
        self._stop_timer()
        discard_unsent(self.transport)
        super().connectionLost(reason)

    def _disconnect_slow_reader(self, unsent: int) -> None:
        """The consumer receives ``http.disconnect``."""
        refusals.cut_off(HTTP, self.transport.getPeer(), unsent)
        self.transport.abortConnection()
