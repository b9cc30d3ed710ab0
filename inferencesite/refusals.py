"""Requests that are refused before the application sees them: answered, counted and logged like any other."""

import asyncio
import logging
from typing import Any

from inference import lifecycle, trace
from inference.consumers.guard import peer
from inference.errors import InferenceError
from inference.service import Request
from inference.wire import huggingface
from inferencesite import security_headers

logger = logging.getLogger("inference.edge")


def at_the_door(client: Any, timeout: str | None) -> InferenceError | None:
    """What admission says to any request of this client now: to refuse it, the application need not be started.

    Args:
        client: Twisted's address.
        timeout: the header with the request's own deadline.
    """
    process = lifecycle.current()
    if process is None or process.loop is not asyncio.get_running_loop() or not hasattr(client, "host"):
        return None
    try:
        deadline_s = huggingface.read_timeout(timeout, process.conf.max_deadline_s)
    except InferenceError:
        return None  # the application says what is wrong
    try:
        process.service.admission.check(1, peer({"client": (client.host, client.port)}), deadline_s)
    except InferenceError as error:
        return error
    return None


def refuse(
    transport: str, client: Any, error: InferenceError, names: tuple[str, str] = ("", ""), *, close: bool = True
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Log it; returns headers and body of the answer.

    Args:
        transport: as in the request log.
        client: Twisted's address of it, or of the proxy before it.
        names: the client's own ``x-request-id`` and ``traceparent``, where they are known.
        close: the answer says that the connection is closed after it.
    """
    request_id, traceparent = trace.take_request_id(names[0]), trace.child(names[1])
    request = Request(transport=transport, client=getattr(client, "host", None), id=request_id, traceparent=traceparent)
    process = lifecycle.current()
    if process is not None:
        process.service.refused(request, error)
    body = huggingface.write_error(error)
    headers = huggingface.write_headers(request.id, request.times(), error)
    headers += [(b"content-length", b"%d" % len(body))]
    headers += [(b"connection", b"close")] if close else []
    headers += [(b"traceparent", traceparent.encode())] if traceparent else []
    return [*headers, *security_headers.missing(headers)], body


def cut_off(transport: str, peer: Any, unsent: int) -> None:
    """Count and report a client that does not read what it is sent."""
    logger.info("A client does not read (%s, %s): cut off with %d bytes unsent", transport, peer, unsent)
    process = lifecycle.current()
    if process is not None:
        process.service.metrics.cut_off(transport)
