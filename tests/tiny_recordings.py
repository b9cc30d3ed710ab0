"""Recordings of tones, and files with headers that lie."""

import io
from typing import Any

import numpy as np
import soundfile

Samples = np.ndarray[Any, np.dtype[np.float32]]


def tone(count: int, *, channels: int = 1, pitch: float = 0.05) -> Samples:
    """``[samples, channels]``; of another pitch in each channel, and not the same at any two moments."""
    moments = np.arange(count)[:, None]
    sound = 0.4 * np.sin(moments * (pitch + 0.02 * np.arange(channels))) + 0.1 * np.sin(0.0001 * moments**1.5)
    samples: Samples = sound.astype(np.float32)
    return samples


def encoded(samples: Samples, rate: int = 16_000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    soundfile.write(written := io.BytesIO(), samples, rate, format=kind, subtype=subtype)
    return written.getvalue()


def sound(seconds: float, *, pitch: float = 0.05, kind: str = "WAV", rate: int = 16_000) -> bytes:
    return encoded(tone(round(seconds * rate), pitch=pitch), rate, kind)


def wav_with(data: bytes, *, rate: int | None = None, bytes_of_samples: int | None = None) -> bytes:
    """A WAV file of ``encoded`` with another header."""
    fields = {24: rate, 40: bytes_of_samples}
    changed = bytearray(data)
    for place, value in fields.items():
        if value is not None:
            changed[place : place + 4] = value.to_bytes(4, "little")
    return bytes(changed)


def flac_with(data: bytes, *, samples: int) -> bytes:
    """A FLAC file whose header says that it has so many samples; 0 stands for an unknown number."""
    place = slice(18, 26)
    known = int.from_bytes(data[place], "big")
    return data[: place.start] + (known >> 36 << 36 | samples).to_bytes(8, "big") + data[place.stop :]


TEN_HOURS = 16_000 * 36_000
