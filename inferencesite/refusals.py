"""Requests that are refused before the application sees them: answered, counted and logged like any other."""

import logging
from typing import Any

from inference import lifecycle
from inference.errors import InferenceError
from inference.service import Request
from inference.wire import huggingface
from inferencesite import security_headers

logger = logging.getLogger("inference.edge")


def refuse(transport: str, peer: Any, error: InferenceError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Log it; returns headers and body of the answer, after which the connection is to be closed.

    Args:
        transport: as in the request log.
        peer: Twisted's address of the client, or of the proxy before it.
    """
    request = Request(transport=transport, client=getattr(peer, "host", None))
    process = lifecycle.current()
    if process is not None:
        process.service.refused(request, error)
    body = huggingface.write_error(error)
    headers = huggingface.write_headers(request.id, request.times(), error)
    headers += [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    return [*headers, *security_headers.missing(headers)], body


def cut_off(transport: str, peer: Any, unsent: int) -> None:
    """Count and report a client that does not read what it is sent."""
    logger.info("A client does not read (%s, %s): cut off with %d bytes unsent", transport, peer, unsent)
    process = lifecycle.current()
    if process is not None:
        process.service.metrics.cut_off(transport)
