"""Pictures of a few bytes, without a library: PNG files of several kinds."""

import base64
import struct
import zlib
from collections.abc import Callable

Pixel = Callable[[int, int], tuple[int, ...]]
GREY, RGB, RGBA = 0, 2, 6
"""Kinds of pixels, as PNG numbers them."""
TURNED = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
"""Exif: the camera was held upright, turn the picture by 90 degrees."""


def png(width: int, height: int, pixel: Pixel, kind: int = RGB, exif: bytes = b"") -> bytes:
    rows = b"".join(b"\x00" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = [(b"IHDR", head), *([(b"eXIf", exif)] if exif else []), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _shades(x: int, y: int) -> tuple[int, ...]:
    return 8 * x % 256, 6 * y % 256, 120


def _rings(x: int, y: int) -> tuple[int, ...]:
    near = (x - 14) ** 2 + (y - 10) ** 2 < 60
    return (230, 40, 30) if near else (20, 90, 200)


PICTURES = {
    name: base64.b64encode(content).decode()
    for name, content in {
        "shades": png(30, 40, _shades),
        "disc": png(32, 24, _rings),
        "turned": png(32, 24, _rings, exif=TURNED),
        "wide": png(48, 12, _shades),
        "grey": png(24, 24, lambda x, y: (10 * x % 256,), GREY),
        "transparent": png(20, 20, lambda x, y: (*_rings(x, y), 12 * x), RGBA),
        "small": png(5, 4, lambda x, y: (200, 10, 10)),
    }.items()
}
"""In base64."""
