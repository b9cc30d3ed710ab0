"""Daphne's protocols, with a body limit and the close codes of RFC 6455."""

from typing import Any

from daphne import http_protocol, ws_protocol
from twisted.web import http

from inference import conf


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
    def serverClose(self, code: int | None = None) -> None:
        """Any close code: autobahn's ``sendClose`` refuses 1011 to 1013, which servers are meant to send."""
        self.sendCloseFrame(code=code or 1000)


def install() -> None:
    http_protocol.WebRequest = Request
    ws_protocol.WebSocketFactory.protocol = Socket
    http.RESPONSES[422] = b"Unprocessable Content"
