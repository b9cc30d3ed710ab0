"""Requests that are refused before the application sees them: answered, counted and logged like any other."""

import asyncio
import logging
from typing import Any

from inference.api import security_headers
from inference.api.dialects.native import http
from inference.api.hosts import peer
from inference.errors import InferenceError, Overloaded
from inference.observability import tracing
from inference.serving import service as serving
from inference.serving.service import Request

logger = logging.getLogger("inference.edge")

LET_IN_WITHIN = 0.1
"""Of its deadline, a request may have waited to be refused and is let in after all."""


def objects(host: str | None, port: int, timeout: str) -> bool:
    """Whether admission refuses any request of this client now: then the application need not be started.

    Args:
        timeout: the header with the request's own deadline, or an empty text.
    """
    service = serving.current()
    if service is None or host is None or service.loop is not asyncio.get_running_loop():
        return False
    try:
        deadline_s = http.read_timeout(timeout, service.conf.max_deadline_s)
    except InferenceError:
        return False  # the application says what is wrong
    return service.admission.refusal_reason(1, peer({"client": (host, port)}), deadline_s) is not None


def refusal_reason(host: str, port: int, timeout: str, waited_s: float = 0.0) -> InferenceError | None:
    """What to tell a client whose request ``objects`` would refuse, after it has waited for that; ``None``: let it in.

    There may be room by now. But if it has waited for more than ``LET_IN_WITHIN``, it would be late.
    """
    service = serving.current()
    assert service is not None  # noqa: S101 - it objected
    deadline_s = http.read_timeout(timeout, service.conf.max_deadline_s)
    try:
        service.admission.check(1, peer({"client": (host, port)}), deadline_s)
    except InferenceError as error:
        return error
    if waited_s <= LET_IN_WITHIN * (deadline_s or service.conf.deadline_s):
        return None
    return Overloaded("There are more requests than this server can even refuse; try again in 1 s.", retry_after_s=1)


def draining() -> bool:
    service = serving.current()
    return service is not None and service.draining.is_set()


def refuse(
    transport: str, host: str | None, error: InferenceError, names: tuple[str, str] = ("", ""), *, close: bool = True
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Log it; returns headers and body of the answer.

    Args:
        transport: as in the request log.
        host: the client's address, or that of the proxy before it.
        names: the client's own ``x-request-id`` and ``traceparent``, where they are known.
        close: the answer says that the connection is closed after it.
    """
    request_id, traceparent = tracing.take_request_id(names[0]), tracing.child(names[1])
    request = Request(transport=transport, client=host, id=request_id, traceparent=traceparent)
    service = serving.current()
    if service is not None:
        service.refused(request, error)
    body = http.write_error(error)
    headers = http.write_headers(request.id, request.times(), error)
    headers += [(b"content-length", b"%d" % len(body))]
    headers += [(b"connection", b"close")] if close else []
    headers += [(b"traceparent", traceparent.encode())] if traceparent else []
    return [*headers, *security_headers.missing(headers)], body


def cut_off(transport: str, peer: Any, unsent: int) -> None:
    """Count and report a client that does not read what it is sent."""
    logger.info("A client does not read (%s, %s): cut off with %d bytes unsent", transport, peer, unsent)
    service = serving.current()
    if service is not None:
        service.metrics.cut_off(transport)
