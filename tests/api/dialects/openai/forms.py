"""Forms as clients send them."""

from collections.abc import Iterable

BOUNDARY = "0123abc"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, value: bytes | str, *, filename: str | None = None, more: str = "") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    data = value if isinstance(value, bytes) else value.encode()
    return f'Content-Disposition: form-data; name="{name}"{file}{more}\r\n\r\n'.encode() + data


def form(parts: Iterable[bytes]) -> bytes:
    return b"".join(f"--{BOUNDARY}\r\n".encode() + each + b"\r\n" for each in parts) + f"--{BOUNDARY}--\r\n".encode()
