"""The body of a request: perhaps compressed, JSON, and perhaps bytes of tensors after it."""

import zlib

from inference.api.dialects.base import Head
from inference.errors import Malformed, PayloadTooLarge, UnsupportedMediaType
from inference.serving.deployment import Deployment

HEADER_LENGTH = b"inference-header-content-length"
"""The header with the size of the JSON, where more comes after it."""
WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""Of zlib, by ``Content-Encoding``."""


def read_parts(head: Head, body: bytes, deployment: Deployment) -> tuple[bytes, bytes]:
    """The JSON, and the bytes after it.

    Raises:
        Malformed, PayloadTooLarge, UnsupportedMediaType: what is wrong, in one sentence.
    """
    encoding = head.header(b"content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        body = _inflated(body, encoding, _most_bytes(head, deployment))
    given = head.header(HEADER_LENGTH).strip()
    if not given:
        return body, b""
    size = int(given) if given.isdecimal() and len(given) < 16 else -1
    if not 0 <= size <= len(body):
        raise Malformed(
            f"Inference-Header-Content-Length is {given[:60]!r}; it must be the size of the JSON, "
            f"and the body has {len(body)} bytes."
        )
    return body[:size], body[size:]


def _most_bytes(head: Head, deployment: Deployment) -> int:
    """That the body may have when it is inflated."""
    spec = deployment.catalog.find(head.pipeline or "") or deployment.catalog.default
    description = deployment.description(spec.name)
    return spec.most_body_bytes(description.task if description else "")


def _inflated(body: bytes, encoding: str, most_bytes: int) -> bytes:
    if encoding not in WINDOWS:
        raise UnsupportedMediaType(f"Content-Encoding is {encoding[:60]!r}; it must be gzip or deflate.")
    inflating = zlib.decompressobj(WINDOWS[encoding])
    try:
        inflated = inflating.decompress(body, most_bytes + 1)
    except zlib.error:
        raise Malformed(f"The body is not {encoding}, as Content-Encoding says.") from None
    if len(inflated) > most_bytes:
        raise PayloadTooLarge(f"The body has more than {most_bytes} bytes when it is inflated; so many are allowed.")
    if not inflating.eof or inflating.unused_data:
        raise Malformed(f"The body is not one whole {encoding} stream, as Content-Encoding says.")
    return inflated
