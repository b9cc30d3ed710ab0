"""What tells browsers to be careful with every answer of ours. Django's pages bring their own, by its middleware."""

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
    """Those that an answer with these headers (lower-case names) has yet to get."""
    given = {name.lower() for name, _ in headers}
    return [header for header in (*ALWAYS, *_transport_security()) if header[0] not in given]


def _transport_security() -> Headers:
    """As Django's ``SecurityMiddleware``; browsers heed it where the connection is secure."""
    seconds = settings.SECURE_HSTS_SECONDS
    if not seconds:
        return []
    subdomains = "; includeSubDomains" if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS else ""
    return [(b"strict-transport-security", f"max-age={seconds}{subdomains}".encode())]
