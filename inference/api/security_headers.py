"""Security headers for every answer of ours. Django's pages get theirs from its middleware."""

from collections.abc import Iterable

from django.conf import settings

Headers = list[tuple[bytes, bytes]]

ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


def missing(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Those that an answer with these headers (lower-case names) does not have yet."""
    given = {name.lower() for name, _ in headers}
    return [header for header in (*ALWAYS, *_transport_security()) if header[0] not in given]


def _transport_security() -> Headers:
    """As Django's ``SecurityMiddleware``; browsers apply it where the connection is secure."""
    seconds = settings.SECURE_HSTS_SECONDS
    if not seconds:
        return []
    subdomains = "; includeSubDomains" if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS else ""
    return [(b"strict-transport-security", f"max-age={seconds}{subdomains}".encode())]
