"""Images and recordings as clients send them and pipelines return them: bytes, and what kind they are."""

import base64
import io
import struct
import wave
import zlib
from dataclasses import dataclass

IMAGES = {"PNG": "image/png", "JPEG": "image/jpeg", "WebP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}
"""Media types by the names of formats."""
RECORDINGS = {"WAV": "audio/wav", "FLAC": "audio/flac", "Ogg": "audio/ogg", "MP3": "audio/mpeg"}
BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
OF_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}


@dataclass(frozen=True, slots=True)
class Media:
    data: bytes
    type: str = ""
    """The media type that was declared; empty if none was."""

    def __str__(self) -> str:
        """For logs: never the bytes."""
        return f"({media_type(self.data) or self.type or 'unknown type'}, {len(self.data)} bytes)"


def media_type(data: bytes) -> str:
    """Of an image or recording, by its first bytes (https://mimesniff.spec.whatwg.org/); empty for anything else."""
    if data[:4] == b"RIFF":
        return OF_RIFF.get(data[8:12], "")
    for beginning, kind in BEGINNINGS:
        if data.startswith(beginning):
            return kind
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:  # a frame of MPEG audio, layer 3
        return "audio/mpeg"
    return ""


def _png(width: int, height: int) -> bytes:
    """A gradient of colours (https://www.w3.org/TR/png/)."""
    rows = (bytes(part for x in range(width) for part in (16 * x, 16 * y, 128)) for y in range(height))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
        (b"IEND", b""),
    ]
    written = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return BEGINNINGS[0][0] + b"".join(written)


def _wav(samples: int) -> bytes:
    """A tone of 500 Hz, 8,000 samples of 8 bits a second."""
    with wave.open(file := io.BytesIO(), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(1)
        recording.setframerate(8000)
        recording.writeframes(bytes(64 if n % 16 < 8 else 192 for n in range(samples)))
    return file.getvalue()


EXAMPLE_IMAGE = base64.b64encode(_png(16, 16)).decode()
"""In base64, as in JSON."""
EXAMPLE_RECORDING = base64.b64encode(_wav(800)).decode()
