"""Server-sent events, as the streams of all dialects over HTTP: https://html.spec.whatwg.org/#server-sent-events"""

from typing import Any

import msgspec

from inference.api.dialects.base import Headers
from inference.serving.context import RequestContext


def stream_headers(context: RequestContext, content_type: bytes = b"text/event-stream") -> Headers:
    """They have no times, which are not known when they are sent."""
    return [
        (b"content-type", content_type),
        (b"x-request-id", context.id.encode()),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),  # a proxy such as nginx would collect tokens
    ]


def write_event(fields: dict[str, Any]) -> bytes:
    """An event whose data is JSON."""
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"
