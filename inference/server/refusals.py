"""Answers that the server itself writes, to requests that the application does not see: counted and logged like any."""

import asyncio
import logging
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from inference import catalog, conf
from inference.access.checking import Caller
from inference.access.credentials import offered
from inference.access.principal import ANYONE, Principal
from inference.api import cors, security_headers
from inference.api.dialects import registry
from inference.api.dialects.base import Dialect, Endpoint, Reply
from inference.api.error_reply import error_reply
from inference.api.paths import PIPELINE, Paths
from inference.api.scope import PIPELINES, peer
from inference.catalog import Catalog
from inference.errors import InferenceError, Overloaded
from inference.observability import tracing
from inference.serving import current_service
from inference.serving.context import RequestContext

logger = logging.getLogger("inference.server")

Client = tuple[str | None, int]
"""Address and port."""
ADMITTED_WITHIN = 0.1
"""Part of its deadline that a request may have waited for its refusal, to be admitted where there is room by then."""


def caller(client: Client, header: Callable[[bytes], str]) -> Caller:
    """Who asks an endpoint, or why that is refused; ``ANYONE`` where the application has to find out.

    Args:
        header: gives the first header of a (lower-case) name, or an empty text.
    """
    service = current_service.get()
    if service is None or not service.access.required or service.loop is not asyncio.get_running_loop():
        return ANYONE
    asking = client if client[0] else None
    return service.access.caller(offered(header), lambda: peer({"client": asking}).owner)


def known(header: Callable[[bytes], str]) -> bool:
    """Whether a request has a key that works, or needs none here; a wrong key is not counted."""
    service = current_service.get()
    if service is None or not service.access.required or service.loop is not asyncio.get_running_loop():
        return True
    return service.access.knows(offered(header))


def wants_key(path: str) -> bool:
    """Whether the path below our mount takes bodies from callers with a key alone, where they need one.

    Below the names of pipelines also where there is no such pipeline: otherwise anybody could tell which there are.
    """
    return path.startswith(PIPELINES) or _endpoints().find(path) is not None


def would_refuse(
    client: Client, endpoint: Endpoint, deadline: str, pipeline: str | None, principal: Principal = ANYONE
) -> bool:
    """Whether admission refuses any request of this client now: then the application need not be started.

    Args:
        deadline: value of the endpoint's deadline header, or an empty text.
        pipeline: its name; ``None`` where the body says it.
    """
    service = current_service.get()
    if service is None or client[0] is None or service.loop is not asyncio.get_running_loop():
        return False
    if pipeline is not None and not principal.may_use(pipeline):
        return False  # the application says what the key is for
    try:
        deadline_s = endpoint.deadline_s(deadline, service.conf.max_deadline_s)
        return service.refusing(pipeline, peer({"client": client}, principal), deadline_s, principal) is not None
    except InferenceError:
        return False  # the application says what is wrong


def refusal_after(  # noqa: PLR0913
    waited_s: float,
    client: Client,
    endpoint: Endpoint,
    deadline: str,
    pipeline: str | None,
    principal: Principal = ANYONE,
) -> InferenceError | None:
    """The error for a request that ``would_refuse`` refused and that has waited since; ``None`` to admit it after all.

    There may be room by now. But after more than ``ADMITTED_WITHIN`` of its deadline it would be answered too late.
    """
    service = current_service.get()
    assert service is not None  # noqa: S101 - it refused
    deadline_s = endpoint.deadline_s(deadline, service.conf.max_deadline_s)
    asking = peer({"client": client}, principal)
    try:
        if (refusing := service.refusing(pipeline, asking, deadline_s, principal)) is not None:
            refusing.check(1, asking, deadline_s)
    except InferenceError as error:
        return error
    if waited_s <= ADMITTED_WITHIN * (deadline_s or service.conf.deadline_s):
        return None
    return Overloaded("There are too many requests to refuse each in time; try again in 1 s.", retry_after_s=1)


def draining() -> bool:
    service = current_service.get()
    return service is not None and service.draining.is_set()


class RefusedRequest(NamedTuple):
    """What the answer to a refused request depends on."""

    dialect: Dialect
    pipeline: str = ""
    """Its name; empty where the path means none."""
    header: Callable[[bytes], str] = lambda name: ""
    """The first header of a (lower-case) name as far as it was received, or an empty text."""


def refuse(request: RefusedRequest, context: RequestContext, error: InferenceError, *, close: bool = True) -> Reply:
    """Log the refusal; returns the whole answer.

    Args:
        close: the answer says that the connection is closed after it.
    """
    service = current_service.get()
    if service is not None:
        service.refused(context, error, request.pipeline)
    reply = error_reply(request.dialect, context, error, request.header(b"user-agent"))
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    headers += [(b"connection", b"close")] if close else []
    headers += [(b"traceparent", context.traceparent.encode())] if context.traceparent else []
    headers += cors.answer_headers(conf.current().cors_origins, request.header(b"origin"), headers)
    return Reply(reply.status, [*headers, *security_headers.missing(headers)], reply.body)


@cache
def _endpoints() -> Paths[Endpoint]:
    return Paths((endpoint.path, endpoint) for _, endpoint in registry.endpoints())


def pipeline_of(path: str, pipelines: Catalog | None = None) -> str | None:
    """Name of the pipeline whose endpoint is at a path below our mount; ``None`` where the body says it.

    Args:
        pipelines: those that there are for the caller; by default all.

    Raises:
        LookupError: no endpoint is there.
    """
    pipelines = pipelines or catalog.current()
    spec, inner = None, path
    if path.startswith(PIPELINES):
        found = pipelines.route(path.removeprefix(PIPELINES))
        if found is None:
            raise LookupError(path)
        spec, inner = found
    endpoint = _endpoints().find(inner)
    if endpoint is None:
        raise LookupError(path)
    if spec is None and (named := endpoint.arguments.get(PIPELINE)):
        spec = pipelines.find(named)
        if spec is None:
            raise LookupError(path)
    if spec is None and endpoint.value.pipeline_in_body:
        return None
    return (spec or pipelines.default).name


def most_body_bytes(path: str | None = None, principal: Principal = ANYONE) -> int:
    """Size of a body for the endpoint at a path below our mount; without a path, of a frame.

    Where the caller may not use it, as where nothing is.
    """
    service = current_service.get()
    try:
        seen = service.seen_by(principal).catalog if service is not None else None
        pipeline = None if path is None else pipeline_of(path, seen)
    except (LookupError, InferenceError):
        service = None
    return conf.current().max_body_bytes if service is None else service.most_body_bytes(pipeline, seen)


def context_of(
    transport: str,
    host: str | None,
    dialect: Dialect,
    request_id: str = "",
    traceparent: str = "",
) -> RequestContext:
    """Of a request that no ASGI scope exists for.

    Args:
        host: the client's address, or that of the proxy before it.
        dialect: that of its path.
        request_id: the client's own ``x-request-id``, or an empty text; ``traceparent`` likewise.
    """
    return RequestContext(
        transport=transport,
        client=host,
        dialect=dialect.name,
        id=tracing.take_request_id(request_id),
        traceparent=tracing.child(traceparent),
    )


def cut_off(transport: str, peer: Any, unsent: int) -> None:
    """Count and log a client that does not read what it is sent."""
    logger.info("A client does not read (%s, %s): cut off with %d bytes unsent", transport, peer, unsent)
    service = current_service.get()
    if service is not None:
        service.metrics.cut_off(transport)
