"""The checks of ``Host`` and ``Origin`` that Django's middleware makes for views; it does not reach consumers."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from inference import conf
from inference.api import cors
from inference.api.scope import header

LOCAL_HOSTS = [".localhost", "127.0.0.1", "[::1]"]


def allowed_host(scope: dict[str, Any]) -> bool:
    """Django's own check of the ``Host`` header, by ``ALLOWED_HOSTS``."""
    return _allowed(header(scope, b"host"))


def own_address(scope: dict[str, Any]) -> bool:
    """``Host`` is the address at which the client reached this process, as in requests of probes.

    A page that makes its own name resolve to our address (DNS rebinding) sends that name.
    """
    domain, _ = split_domain_port(header(scope, b"host"))
    address, *_ = scope.get("server") or [None]
    return bool(domain) and domain.strip("[]") == address


def allowed_origin(scope: dict[str, Any]) -> bool:
    """A browser's ``Origin`` must be one of the allowed hosts or of ``INFERENCE_CORS_ORIGINS``; others send none."""
    origin = header(scope, b"origin")
    if not origin or cors.allows(conf.current().cors_origins, origin):
        return True
    try:
        return _allowed(urlsplit(origin).netloc)
    except ValueError:  # http://[
        return False


def own_origin(scope: dict[str, Any]) -> bool:
    """For what a browser's cookie allows: the ``Origin`` must be that of our own pages, as for Django's forms."""
    origin = header(scope, b"origin")
    if not origin or origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        return urlsplit(origin).netloc == header(scope, b"host")
    except ValueError:
        return False


def _allowed(host: str) -> bool:
    domain, _ = split_domain_port(host)
    allowed = settings.ALLOWED_HOSTS or (LOCAL_HOSTS if settings.DEBUG else [])
    return bool(domain) and validate_host(domain, allowed)
