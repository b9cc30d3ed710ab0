"""Daphne's protocols, with limits on what a client may send and leave unread, and the close codes of RFC 6455."""

import logging
import time
from typing import Any

from daphne import http_protocol, ws_protocol
from twisted.internet import reactor
from twisted.web import http

from inference import conf, lifecycle
from inference.models import InferenceRequest
from inferencesite.unsent import Unsent

logger = logging.getLogger("inference.edge")

POLICY_VIOLATION = 1008


def new_unsent() -> Unsent:
    limits = conf.current()
    return Unsent(reactor.callLater, limits.stall_s, limits.max_reply_bytes)


class Channel(http.HTTPChannel):  # type: ignore[misc]
    """One HTTP connection."""

    def __init__(self) -> None:
        super().__init__()
        self._unsent = new_unsent()

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
        super().connectionLost(reason)

    def _cut_off(self, unsent: int) -> None:
        """The consumer hears ``http.disconnect``."""
        report_slow_reader(InferenceRequest.Transport.HTTP, self.transport, unsent)
        self.transport.abortConnection()


class Request(http_protocol.WebRequest):  # type: ignore[misc]
    """Keeps no more of a body than it takes to see that it is too large, and leaves forms to the application.

    Daphne would buffer a body of any size before the application starts, and Twisted would parse forms on the
    event loop: 20 MB of them stop every other request for seconds. The application answers 413 and logs it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, parsePOSTFormSubmission=False)
        self._room = conf.current().max_body_bytes + 1

    def handleContentChunk(self, data: bytes) -> None:
        if self._room > 0:
            super().handleContentChunk(data[: self._room])
        self._room -= len(data)


class Socket(ws_protocol.WebSocketProtocol):  # type: ignore[misc]
    """One WebSocket.

    A message that is too large is not kept, and its size is told to the consumer as ``too_large``, which answers it.
    Daphne's own limit would end the socket; and it holds for what is sent as well, where it raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self._unsent = new_unsent()
        self._most_bytes = conf.current().max_body_bytes

    def onConnect(self, request: Any) -> Any:
        self.maxMessagePayloadSize = self.maxFramePayloadSize = 0  # no limit
        return super().onConnect(request)

    def onMessageFrameData(self, payload: bytes) -> None:
        if self.message_data_total_length <= self._most_bytes:
            super().onMessageFrameData(payload)
        else:
            self.message_data.clear()

    def onMessage(self, *message: Any) -> None:
        size = self.message_data_total_length
        if size <= self._most_bytes:
            super().onMessage(*message)
        elif not self.muted:
            self.application_queue.put_nowait({"type": "websocket.receive", "too_large": size})

    def serverSend(self, *message: Any) -> None:
        """Nothing while the socket closes: autobahn would raise."""
        if self.state in (self.STATE_CONNECTING, self.STATE_OPEN):
            super().serverSend(*message)

    def sendData(self, data: bytes, *args: Any, **kwargs: Any) -> None:
        super().sendData(data, *args, **kwargs)
        if self.state == self.STATE_OPEN and not self.muted:
            self._unsent.wrote(self.transport, len(data), self._cut_off)

    def check_timeouts(self) -> None:
        """No pings behind a long answer: its reader would be dropped for answering them late."""
        if self._unsent.watching:
            self.last_ping = time.time()
        super().check_timeouts()

    def onAutoPingTimeout(self) -> None:
        if self._unsent.watching:
            self.autoPingTimeoutCall = self.autoPingPending = None
        else:
            super().onAutoPingTimeout()

    def onClose(self, *args: Any) -> None:
        self._unsent.stop()
        super().onClose(*args)

    def serverClose(self, code: int | None = None) -> None:
        """Any close code: autobahn's ``sendClose`` refuses 1011 to 1013, which servers are meant to send."""
        self.sendCloseFrame(code=code or 1000)

    def _cut_off(self, unsent: int) -> None:
        """The consumer hears ``websocket.disconnect`` now; the client has some time to find the code."""
        report_slow_reader(InferenceRequest.Transport.WEBSOCKET, self.transport, unsent)
        self.muted = True
        self.application_queue.put_nowait({"type": "websocket.disconnect", "code": POLICY_VIOLATION})
        self.closeHandshakeTimeout = conf.current().stall_s
        self.sendCloseFrame(code=POLICY_VIOLATION)


def report_slow_reader(protocol: str, transport: Any, unsent: int) -> None:
    logger.info("A client does not read (%s, %s): cut off with %d bytes unsent", protocol, transport.getPeer(), unsent)
    process = lifecycle.current()
    if process is not None:
        process.service.metrics.cut_off(protocol)


def install() -> None:
    http_protocol.WebRequest = Request
    http_protocol.HTTPFactory.protocol = staticmethod(lambda: http._GenericHTTPChannelProtocol(Channel()))
    ws_protocol.WebSocketFactory.protocol = Socket
    http.RESPONSES[422] = b"Unprocessable Content"
