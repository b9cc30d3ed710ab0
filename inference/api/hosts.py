"""What Django's middleware would check, for consumers, which it does not reach."""

from ipaddress import IPv6Address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from inference.scheduling.calls import NOBODY, Peer

LOCAL_HOSTS = [".localhost", "127.0.0.1", "[::1]"]


def header(scope: dict[str, Any], name: bytes) -> str:
    """The first header of this (lower-case) name, or an empty text."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def client_address(scope: dict[str, Any]) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def peer(scope: dict[str, Any]) -> Peer:
    """Who shares turns and permits.

    An IPv6 network of 64 bits counts as one address: it is what one user gets. An IPv4 address in IPv6's notation,
    as a server has it that listens to both, counts as itself.
    """
    if not scope.get("client"):
        return NOBODY
    address, port = scope["client"]
    if ":" in address:
        try:
            long = IPv6Address(address.partition("%")[0])
        except ValueError:
            return Peer(address, port)  # a proxy's word
        address = str(long.ipv4_mapped or long.packed[:8].hex())
    return Peer(address, port)


def allowed_host(scope: dict[str, Any]) -> bool:
    """Django's own check of the ``Host`` header, by ``ALLOWED_HOSTS``."""
    return _allowed(header(scope, b"host"))


def own_address(scope: dict[str, Any]) -> bool:
    """``Host`` is the address at which the client reached this process, as probes have it.

    A page that has its own name resolve to our address (DNS rebinding) sends that name.
    """
    domain, _ = split_domain_port(header(scope, b"host"))
    address, *_ = scope.get("server") or [None]
    return bool(domain) and domain.strip("[]") == address


def allowed_origin(scope: dict[str, Any]) -> bool:
    """A browser's ``Origin`` must be one of the allowed hosts; a script sends none."""
    origin = header(scope, b"origin")
    try:
        return not origin or _allowed(urlsplit(origin).netloc)
    except ValueError:  # http://[
        return False


def _allowed(host: str) -> bool:
    domain, _ = split_domain_port(host)
    allowed = settings.ALLOWED_HOSTS or (LOCAL_HOSTS if settings.DEBUG else [])
    return bool(domain) and validate_host(domain, allowed)
