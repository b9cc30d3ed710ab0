"""Cross-origin resource sharing: what browsers let the pages of other hosts read and send. Pure functions.

https://fetch.spec.whatwg.org/#http-cors-protocol. A page that may use the server has no cookies or logins here: no
answer has ``access-control-allow-credentials``.

``origins`` is the setting ``INFERENCE_CORS_ORIGINS``, ``header`` gives a request's first header of a (lower-case) name
or an empty text.
"""

from collections.abc import Callable

from inference.api.dialects.base import Headers

Origins = tuple[str, ...]
EVERY: Origins = ("*",)
LONGEST_S = 7200
"""How long a browser may keep the answer to a preflight; Chromium keeps none for longer."""
READABLE = frozenset({b"cache-control", b"connection", b"content-length", b"content-type", b"date", b"vary"})
"""Headers that every page may read, or that are for no page."""


def allows(origins: Origins, origin: str) -> bool:
    """``origin`` is what the browser sent; not empty."""
    return origins == EVERY or origin in origins


def is_preflight(origins: Origins, header: Callable[[bytes], str]) -> bool:
    """Whether a browser asks, by ``OPTIONS``, what a page of an allowed origin may send."""
    origin = header(b"origin")
    return bool(origin and header(b"access-control-request-method")) and allows(origins, origin)


def preflight_headers(origins: Origins, header: Callable[[bytes], str], methods: bytes) -> Headers:
    """What the answer to a preflight has in addition to ``answer_headers``.

    Any header may be sent. They are named, because ``*`` does not stand for ``Authorization``.
    """
    if not is_preflight(origins, header):
        return []
    headers = [(b"access-control-allow-methods", methods), (b"access-control-max-age", b"%d" % LONGEST_S)]
    if asked := header(b"access-control-request-headers"):
        headers.append((b"access-control-allow-headers", asked.encode("latin-1")))
    return headers


def answer_headers(origins: Origins, origin: str, headers: Headers) -> Headers:
    """What is added to an answer with these headers, so that the page can read it and all of them.

    Where only some origins are allowed, caches must keep an answer for each, also the one for no origin.
    """
    if not origins:
        return []
    vary = [] if origins == EVERY else [(b"vary", b"origin")]
    if not (origin and allows(origins, origin)):
        return vary
    exposed = sorted({name.lower() for name, _ in headers} - READABLE)
    return [
        (b"access-control-allow-origin", b"*" if origins == EVERY else origin.encode("latin-1")),
        *([(b"access-control-expose-headers", b", ".join(exposed))] if exposed else []),
        *vary,
    ]
