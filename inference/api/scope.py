"""What an ASGI scope says about the client."""

from ipaddress import IPv6Address
from typing import Any

from inference.access.principal import ANYONE, Principal
from inference.models import InferenceRequest
from inference.observability import tracing
from inference.scheduling.calls import LOCAL, Peer
from inference.serving.context import RequestContext

Transport = InferenceRequest.Transport
PIPELINES = "/pipelines/"
"""Below it are the paths of each pipeline: ``/pipelines/{name}``."""


def header(scope: dict[str, Any], name: bytes) -> str:
    """The first header of this (lower-case) name, or an empty text."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def client_address(scope: dict[str, Any]) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def peer(scope: dict[str, Any], principal: Principal = ANYONE) -> Peer:
    """Who shares turns and permits: a key and its owner; without a key, the client's address.

    An IPv6 network of 64 bits counts as one address: it is what one user gets. An IPv4 address in IPv6 notation, as a
    server sees it that listens to both, counts as itself.
    """
    connection = _connection(scope)
    if not principal.key:
        return connection
    return connection.with_key(principal.owner, principal.key, principal.priority)


def _connection(scope: dict[str, Any]) -> Peer:
    if not scope.get("client"):
        return LOCAL
    address, port = scope["client"]
    if ":" in address:
        try:
            long = IPv6Address(address.partition("%")[0])
        except ValueError:
            return Peer(address, port)  # from a proxy's header
        address = str(long.ipv4_mapped or long.packed[:8].hex())
    return Peer(address, port)


def http_context(scope: dict[str, Any], principal: Principal = ANYONE, dialect: str = "") -> RequestContext:
    return RequestContext(
        transport=Transport.HTTP,
        dialect=dialect,
        client=client_address(scope),
        peer=peer(scope, principal),
        principal=principal,
        id=tracing.take_request_id(header(scope, b"x-request-id")),
        traceparent=tracing.child(header(scope, b"traceparent")),
    )


def websocket_context(
    scope: dict[str, Any], traceparent: object = None, principal: Principal = ANYONE, dialect: str = ""
) -> RequestContext:
    """Of one request on a socket: in the trace that its frame names, or else that of the handshake."""
    return RequestContext(
        transport=Transport.WEBSOCKET,
        dialect=dialect,
        client=client_address(scope),
        peer=peer(scope, principal),
        principal=principal,
        traceparent=tracing.child(traceparent) or tracing.child(header(scope, b"traceparent")),
    )


def path_of(scope: dict[str, Any]) -> str:
    """Below the prefix that the application is mounted at; a proxy or server may have stripped it, or not."""
    path, mount = str(scope["path"]), scope.get("root_path", "").rstrip("/")
    return (path.removeprefix(mount) or "/") if is_below(path, mount) else path


def local_path(scope: dict[str, Any]) -> str:
    """``path_of``, or the path below that of the pipeline: by it dialects have their endpoints."""
    return str(scope.get("pipeline_path") or path_of(scope))


def is_below(path: str, prefix: str) -> bool:
    """At a segment boundary: ``/inference/ws/`` is below ``/inference``, and ``/inferences`` is not."""
    return not prefix or path == prefix or path.startswith(f"{prefix}/")
