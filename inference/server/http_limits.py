"""Limits of one HTTP connection: on the size and speed of requests, and on answers that the client leaves unread."""

from contextlib import suppress
from typing import Any

from twisted.web import http
from twisted.web.http_headers import Headers

from inference import conf
from inference.access.checking import Caller
from inference.access.principal import ANYONE
from inference.api.dialects import registry
from inference.api.dialects.base import Dialect
from inference.errors import HeadersTooLarge, InferenceError, Malformed, Overloaded, PayloadTooLarge, UploadTooSlow
from inference.models import InferenceRequest
from inference.server import large_bodies, mount, refusals
from inference.server.slow_readers import SlowReaderWatch, discard_unsent
from inference.server.stalls import LEAST_BYTES_PER_S, StallDetector
from inference.server.timers import call_later

HTTP = InferenceRequest.Transport.HTTP
LINGER_S = 5.0
"""How long the rest of a refused upload is read and discarded: closing at once would discard the answer as well."""


class LimitedChannel(http.HTTPChannel):  # type: ignore[misc]
    """Refuses a request for our mount that is too large, too slow or invalid as soon as that is known.

    Daphne starts the application when the whole body has arrived, and limits neither its size nor its speed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conf = conf.current()
        self._reader_watch = SlowReaderWatch(call_later, self.conf.stall_s, self.conf.max_reply_bytes)
        self._bytes_received = 0
        self._requests_received = 0
        self._held_bytes = 0
        """Of the body of the request that is received or answered, where it is large."""
        self._large_bodies = large_bodies.held
        self._principal = ANYONE
        """Who sends it."""
        self._timer: Any = None
        """Checks the upload; after a refusal, ends the connection."""
        self._refused = False
        self.ours = True
        """Whether the request that is received or answered is for our mount; also until its path is known."""
        self._target = "/"

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
        if self._refused:
            return
        first = not self.requests
        super().lineReceived(line)
        if first and self.requests and not self._refused:
            self._arrived_at(self._path)

    def _arrived_at(self, target: bytes) -> None:
        self._target = target.decode("latin-1")
        self.ours = mount.is_ours(self._target, self.factory.server.root_path)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._refused:
            super().rawDataReceived(data)

    def allHeadersReceived(self) -> None:
        caller = self._caller()
        if isinstance(caller, InferenceError):
            self.refuse(caller)
            return
        self._principal = caller
        if self.ours and self.length is not None and self.length > (limit := self.most_body_bytes()):
            self.refuse(PayloadTooLarge(f"The body has {self.length} bytes; {limit} are allowed."))
        elif self.holds(self.length if self.length and self.length > large_bodies.SMALL else 0):
            super().allHeadersReceived()

    def _caller(self) -> Caller:
        """Who sends a large body; smaller ones are there by the time that the application refuses them.

        Bodies for which nobody needs a key have a room of their own: who has none takes none from those who have.
        """
        if not self.ours or (self.length is not None and self.length <= large_bodies.SMALL):
            return ANYONE
        if not refusals.wants_key(self._local_path()):
            self._large_bodies = large_bodies.of_others
            return ANYONE
        self._large_bodies = large_bodies.held
        proxy = (self.factory.server.proxy_forwarded_address_header or "").lower()
        client = self.client_address(self.header(proxy.encode()) if proxy else "")
        return refusals.caller(client, self.header)

    def client_address(self, forwarded_for: str) -> refusals.Client:
        """The client's address and port as the application gets them; ``None`` behind a Unix socket.

        Args:
            forwarded_for: the value of the proxy's header, or an empty text.
        """
        if forwarded_for:
            return forwarded_for.split(",")[0].strip(), 0
        peer = self.transport.getPeer()
        return getattr(peer, "host", None), getattr(peer, "port", 0)

    def holds(self, size: int) -> bool:
        """Count so much more of the request's body; refuses the request where there is no room."""
        most = self.conf.max_pending_bytes
        if not (self.ours and size):
            return True
        if not self._large_bodies.take(size, most):
            sentence = f"Bodies of {self._large_bodies.bytes} bytes are received or answered, {most} are allowed"
            seconds = large_bodies.RETRY_S
            self.refuse(Overloaded(f"{sentence}; try again in {seconds} s.", retry_after_s=seconds))
            return False
        self._held_bytes += size
        return True

    def _give_back(self) -> None:
        self._large_bodies.give_back(self._held_bytes)
        self._held_bytes = 0

    def allContentReceived(self) -> None:
        self._requests_received += 1
        if not self._refused:
            super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        self._give_back()
        if self.persistent:
            self.ours, self._target = True, "/"
        super().requestDone(request)

    def lineLengthExceeded(self, line: bytes) -> None:
        if not self.requests and len(words := line.split(b" ", 2)) > 1:
            self._arrived_at(words[1])
        if self.ours:
            self._receivedHeaderSize += len(line)
            self._respondToBadRequestAndDisconnect()
        else:
            super().lineLengthExceeded(line)

    def _respondToBadRequestAndDisconnect(self) -> None:
        if not self.ours:
            super()._respondToBadRequestAndDisconnect()
        elif self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            limits = f"{self.totalHeadersSize} bytes and {self.maxHeaders} headers"
            self.refuse(HeadersTooLarge(f"The request line and headers are too large; {limits} are allowed."))
        else:
            self.refuse(Malformed("This is not valid HTTP/1.1."))

    def refuse(self, error: InferenceError) -> None:
        """Answer with the error, and close without processing what else is received."""
        if self._refused:
            return
        self._refused = True
        refused = self.refused()
        context = refusals.context_of(HTTP, getattr(self.transport.getPeer(), "host", None), refused.dialect)
        status, headers, body = refusals.refuse(refused, context, error)
        self.setTimeout(None)
        self.transport.unregisterProducer()
        self.writeHeaders(b"HTTP/1.1", b"%d" % status, http.RESPONSES.get(status, b""), headers)
        self.write(body)
        getattr(self.transport, "loseWriteConnection", self.transport.loseConnection)()  # TLS cannot close one half
        self._stop_timer()
        self._timer = call_later(LINGER_S, self.transport.abortConnection)

    def target(self) -> str:
        """Of the request that is received or answered; ``/`` where it is not known."""
        return self._target

    def refused(self) -> refusals.RefusedRequest:
        """The request that is received or answered."""
        return refusals.RefusedRequest(self.dialect(), self.pipeline(), self.header)

    def header(self, name: bytes) -> str:
        """The first header of a (lower-case) name, as far as the request has been received, or an empty text."""
        values = self.requests[-1].requestHeaders.getRawHeaders(name, ()) if self.requests else ()
        return values[0].decode("latin-1") if values else ""

    def dialect(self) -> Dialect:
        """For errors of the request that is received or answered."""
        return registry.of_path(self._local_path())

    def pipeline(self) -> str:
        """Name of the pipeline that this request is for; empty where it is for none."""
        with suppress(LookupError):
            return refusals.pipeline_of(self._local_path()) or ""
        return ""

    def most_body_bytes(self) -> int:
        """Of the request that is received, as its path allows."""
        return refusals.most_body_bytes(self._local_path(), self._principal)

    def _local_path(self) -> str:
        return mount.local_path(self.target(), self.factory.server.root_path)

    def _receiving(self) -> bool:
        """Whether part of a request for our mount has arrived."""
        if self._refused or self._handlingRequest or not self.ours:
            return False
        return bool(self.requests or self._buffer)

    def _check_later(self, detector: StallDetector, number: int) -> None:
        self._timer = call_later(detector.interval_s, self._check_upload, detector, number)

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
        if self.ours and isinstance(headers, Headers) and b"close" in headers.getRawHeaders(b"connection", ()):
            self.persistent = False
        super().writeHeaders(version, code, reason, headers)

    def write(self, data: bytes) -> None:
        super().write(data)
        self._wrote(len(data))

    def writeSequence(self, iovec: Any) -> None:
        super().writeSequence(iovec)
        self._wrote(sum(map(len, iovec)))

    def _wrote(self, size: int) -> None:
        if self.ours:
            self._reader_watch.wrote(self.transport, size, self._disconnect_slow_reader)
        else:
            self._reader_watch.wrote_unwatched(self.transport, size)

    def loseConnection(self) -> None:
        """Twisted alone would wait without limit until the client has taken the last bytes."""
        if self.ours:
            self.setTimeout(self.factory.timeOut)
        super().loseConnection()

    def connectionLost(self, reason: Any) -> None:
        self._reader_watch.stop()
        self._stop_timer()
        self._give_back()
        discard_unsent(self.transport)
        super().connectionLost(reason)

    def _disconnect_slow_reader(self, unsent: int) -> None:
        """The consumer receives ``http.disconnect``."""
        refusals.cut_off(HTTP, self.transport.getPeer(), unsent)
        self.transport.abortConnection()
