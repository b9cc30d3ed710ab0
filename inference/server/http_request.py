"""One HTTP request under Daphne: how its body is read, and how an answer that fails ends."""

from typing import Any

from daphne import http_protocol

from inference.api.dialects import registry
from inference.errors import Internal, Malformed, PayloadTooLarge
from inference.server import refusals
from inference.server.http_limits import HTTP


class Request(http_protocol.WebRequest):  # type: ignore[misc]
    """Leaves forms to the application: Twisted parses them on the event loop, which takes seconds for 20 MB."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, parsePOSTFormSubmission=False)
        self._size = 0

    def handleContentChunk(self, data: bytes) -> None:
        """Limit a body whose length was not declared."""
        self._size += len(data)
        limit = self.channel.conf.max_body_bytes
        if self._size > limit:
            self.channel.refuse(PayloadTooLarge(f"The body has more than {limit} bytes; {limit} are allowed."))
        else:
            super().handleContentChunk(data)

    def handle_exception(self, exception: BaseException) -> None:
        """Close the connection if the application fails within an answer: the client must see that it is incomplete."""
        if not self._response_started:
            super().handle_exception(exception)
        elif self.chunked or self.responseHeaders.hasHeader(b"content-length"):
            self.channel.loseConnection()
        else:
            self.channel.transport.abortConnection()

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Write Daphne's own errors like those of the application."""
        error = Malformed(f"{body}.") if status == 400 else Internal("This server has a bug; its log has the details.")
        context = refusals.context_of(HTTP, getattr(self.channel.getPeer(), "host", None))
        status, headers, payload = refusals.refuse(registry.of_path(self.path.decode("latin-1")), context, error)
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": payload})
