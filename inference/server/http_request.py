"""One HTTP request under Daphne: how its body is read, and how an answer that fails ends."""

from typing import Any

from daphne import http_protocol

from inference.errors import Internal, Malformed, PayloadTooLarge
from inference.server import refusals
from inference.server.http_limits import HTTP, LimitedChannel


class Request(http_protocol.WebRequest):  # type: ignore[misc]
    """Leaves forms to the application: Twisted parses them on the event loop, which takes seconds for 20 MB."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, parsePOSTFormSubmission=False)
        self._size = 0

    @property
    def _limited(self) -> bool:
        """Whether it is for our mount, and came by HTTP/1: what comes by HTTP/2 is not limited here."""
        return isinstance(self.channel, LimitedChannel) and self.channel.ours

    def handleContentChunk(self, data: bytes) -> None:
        """Limit a body for our mount whose length was not declared."""
        self._size += len(data)
        if self._limited and self._size > (limit := self.channel.most_body_bytes()):
            self.channel.refuse(PayloadTooLarge(f"The body has more than {limit} bytes; {limit} are allowed."))
        elif self._limited and self.channel.length is None and not self.channel.holds(len(data)):
            return
        else:
            super().handleContentChunk(data)

    def handle_exception(self, exception: BaseException) -> None:
        """Close the connection if an application fails within an answer: the client must see that it is incomplete.

        At every path: Daphne would raise here, and from then on end no application that fails or takes too long.
        """
        if not self._response_started:
            super().handle_exception(exception)
        elif not isinstance(self.channel, LimitedChannel):
            self.channel.abortConnection()  # resets the stream of HTTP/2
        elif self.chunked or self.responseHeaders.hasHeader(b"content-length"):
            self.channel.loseConnection()
        else:
            self.channel.transport.abortConnection()

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Write Daphne's own errors at our mount like those of the application."""
        if not self._limited:
            super().basic_error(status, status_text, body)
            return
        error = Malformed(f"{body}.") if status == 400 else Internal("This server has a bug; its log has the details.")
        refused = self.channel.refused()
        context = refusals.context_of(HTTP, getattr(self.channel.getPeer(), "host", None), refused.dialect)
        status, headers, payload = refusals.refuse(refused, context, error)
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": payload})
