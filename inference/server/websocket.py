"""Daphne's WebSockets, with limits on what a client sends and leaves unread, and every close code of RFC 6455."""

import time
from typing import Any

from daphne import ws_protocol
from twisted.web.http import RESPONSES

from inference import conf
from inference.api.dialects import registry
from inference.errors import Forbidden, InferenceError, Internal, Malformed
from inference.models import InferenceRequest
from inference.server import mount, refusals
from inference.server.slow_readers import SlowReaderWatch, discard_queued, discard_unsent
from inference.server.timers import call_later

WEBSOCKET = InferenceRequest.Transport.WEBSOCKET
POLICY_VIOLATION = 1008
CLOSE_S, QUICK_CLOSE_S = 5.0, 0.5
"""How long a disconnected client has to read the close code; the second where much is unsent on other connections."""
MOST_UNREAD_FRAMES, MOST_UNREAD_BYTES = 256, 2**28
"""Frames that the application has not taken, and what they may have if all are of the largest size; with more, reading
pauses until half of them are taken."""
PAUSE_S = 0.01


class WebSocket(ws_protocol.WebSocketProtocol):  # type: ignore[misc]
    """One WebSocket for our mount.

    A message that is too large is discarded, and the consumer gets its size as ``too_large`` and answers it. Daphne's
    own limit would close the connection; and it raises for a message to the client that is larger.
    """

    def __init__(self) -> None:
        super().__init__()
        limits = conf.current()
        self._reader_watch = SlowReaderWatch(call_later, limits.stall_s, limits.max_reply_bytes)
        self._most_bytes = refusals.most_body_bytes()
        self._most_unread = max(2, min(MOST_UNREAD_FRAMES, MOST_UNREAD_BYTES // self._most_bytes))
        self._paused: Any = None
        self._refusal: InferenceError | None = None
        """Why the application closed the socket instead of accepting it, if it said that."""
        self._close_reason = ""
        self.http_status_line = ""

    def onConnect(self, request: Any) -> Any:
        """A socket for another path becomes one of Daphne's own class."""
        if not mount.is_ours(request.path, self.factory.server_class.root_path):
            self.__class__ = ws_protocol.WebSocketProtocol
            return self.onConnect(request)
        self.maxMessagePayloadSize = self.maxFramePayloadSize = 0  # no limit
        if not request.headers.get("sec-websocket-protocol", "").isascii():  # Daphne would raise
            raise ws_protocol.ConnectionDeny(400, "subprotocols are not ASCII")
        return super().onConnect(request)

    def sendHttpErrorResponse(self, code: int, reason: str, responseHeaders: Any = None) -> None:
        """Answer and log a handshake that fails like any other refused request."""
        target, root_path = self._target(), self.factory.server_class.root_path
        if target and not mount.is_ours(target, root_path):
            super().sendHttpErrorResponse(code, reason, responseHeaders)
            return
        error: InferenceError
        if self._refusal is not None:
            error = self._refusal
        elif code == 403:
            sentence = "No WebSocket from this Origin, to this Host or at this path"
            error = Forbidden(f"{sentence}; see ALLOWED_HOSTS and INFERENCE_CORS_ORIGINS.")
        elif code < 500:
            error = Malformed("This is not a valid WebSocket handshake (RFC 6455).")
        else:
            error = Internal("This server has a bug; its log has the details.")
        refused = refusals.RefusedRequest(registry.of_path(mount.local_path(target, root_path)))
        context = refusals.context_of(WEBSOCKET, getattr(self.transport.getPeer(), "host", None), refused.dialect)
        reply = refusals.refuse(refused, context, error)
        if self._refusal is not None:
            code, reason = reply.status, RESPONSES.get(reply.status, b"").decode()
        lines = [b"HTTP/1.1 %d %s" % (code, reason.encode()), *(b"%s: %s" % header for header in reply.headers)]
        self.sendData(b"\r\n".join([*lines, b"", reply.body]))

    def failHandshake(self, reason: str, *args: Any, **kwargs: Any) -> Any:
        """Log nothing that the client sent: autobahn quotes headers, and a subprotocol may have a key."""
        return super().failHandshake(reason.partition('"')[0].strip(), *args, **kwargs)

    def _target(self) -> str:
        """Of the handshake; empty where its first line has not been read."""
        return str(self.http_status_line.partition(" ")[2].partition(" ")[0])

    # Received messages

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
        if self._paused is None and self.application_queue.qsize() > self._most_unread:
            self.transport.pauseProducing()
            self._paused = call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self.application_queue.qsize() > self._most_unread // 2:
            self._paused = call_later(PAUSE_S, self._resume)
        else:
            self._paused = None
            self.transport.resumeProducing()

    # Sent messages

    def handle_reply(self, message: Any) -> None:
        """A close may have a reason, and before the handshake is answered the ``error`` to answer it with."""
        if message["type"] == "websocket.close":
            self._refusal, self._close_reason = message.get("error"), message.get("reason", "")
        elif message.get("subprotocol") and message["subprotocol"] not in (self.websocket_protocols or ()):
            message = {**message, "subprotocol": None}  # autobahn, which decodes no percent signs, would raise
        super().handle_reply(message)

    def serverSend(self, *message: Any) -> None:
        """No effect while the connection closes, when autobahn would raise."""
        if self.state in (self.STATE_CONNECTING, self.STATE_OPEN):
            super().serverSend(*message)

    def sendData(self, data: bytes, *args: Any, **kwargs: Any) -> None:
        super().sendData(data, *args, **kwargs)
        if self.state == self.STATE_OPEN and not self.muted:
            self._reader_watch.wrote(self.transport, len(data), self._disconnect_slow_reader)

    def check_timeouts(self) -> None:
        """Send no ping behind a long answer: its reader would be disconnected for a late pong."""
        if self._reader_watch.watching:
            self.last_ping = time.time()
        super().check_timeouts()

    def onAutoPingTimeout(self) -> None:
        if self._reader_watch.watching:
            self.autoPingTimeoutCall = self.autoPingPending = None
        else:
            super().onAutoPingTimeout()

    def serverClose(self, code: int | None = None) -> None:
        """Send any close code; autobahn's ``sendClose`` refuses 1011 to 1013, which are for servers to send."""
        self.sendCloseFrame(code=code or 1000, reasonUtf8=self._close_reason.encode() or None)

    def onClose(self, *args: Any) -> None:
        self._reader_watch.stop()
        discard_unsent(self.transport)
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        if hasattr(self, "request"):  # otherwise the handshake failed before Daphne knew of it
            super().onClose(*args)

    def _disconnect_slow_reader(self, unsent: int) -> None:
        """The consumer receives ``websocket.disconnect`` now; the client has some time to read the close code."""
        refusals.cut_off(WEBSOCKET, self.transport.getPeer(), unsent)
        self.muted = True
        self.application_queue.put_nowait({"type": "websocket.disconnect", "code": POLICY_VIOLATION})
        discard_queued(self.transport)
        self.closeHandshakeTimeout = QUICK_CLOSE_S if self._reader_watch.too_much_stalled() else CLOSE_S
        self.sendCloseFrame(code=POLICY_VIOLATION)


def install() -> None:
    ws_protocol.WebSocketFactory.protocol = WebSocket
