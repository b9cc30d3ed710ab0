"""From the bytes of a recording to samples."""

import io
from collections.abc import Iterator

import numpy as np
import soundfile
import soxr

from inference.errors import Invalid
from inference.tasks.media import RECORDINGS

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]

FORMATS = {"WAV", "WAVEX", "FLAC", "OGG", "MP3"}
"""As libsndfile calls them."""
SHORTEST_S = 0.05
"""Models that read samples make two steps of it; shorter ones may be nothing at all for them."""
RATES = range(2_000, 384_001)
"""Samples a second: from telephones to studios."""
MOST_CHANNELS = 16
BLOCK = 1 << 16
"""Samples of each channel that are decoded at once."""
UNKNOWN_FRAMES = 2**63 - 1
"""libsndfile's number where a header gives none."""
STREAMED_BYTES = 0x7FFF_0000
"""Programs that write WAV into a pipe do not know its size, and give one from here on."""
LOUDEST = 65_536.0
"""Full scale is 1. Some files hold whole numbers of 16 bits as floating-point ones; beyond that it is no sound."""


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Is read from the beginning to the end.

    After each block, soundfile seeks to where it is; FLAC that was written into a pipe, of unknown length, cannot.
    """

    def seekable(self) -> bool:
        return False


def read_recording(data: bytes, rate: int, longest_s: float) -> Samples:
    """All samples, the mean of the channels, at ``rate`` samples a second.

    It is decoded and resampled block by block: whatever the header says, and however well silence is compressed, it
    never takes more memory than a recording of ``longest_s``.

    Raises:
        Invalid: it is damaged, of another format, empty, too long, or not made of samples of sound.
    """
    try:
        with _Sequential(io.BytesIO(data)) as opened:
            _check_header(opened, longest_s)
            _check_complete(data)
            samples = _resampled(_mono(opened, longest_s), opened.samplerate, rate)
    except (soundfile.SoundFileError, RuntimeError, OSError, ValueError) as error:
        # A damaged file may be noticed anywhere, and NumPy and soundfile complain of lengths that make no sense.
        reason = str(error).rpartition(": ")[2].strip().rstrip(".").replace(". ", ": ")
        if not reason or "regular file" in reason:  # libsndfile's words for an Ogg stream without beginning
            reason = "its contents make no sense"
        raise Invalid(
            f"The recording cannot be read ({reason}); it must be one of {', '.join(RECORDINGS)}, and complete."
        ) from error
    if samples.size < SHORTEST_S * rate:
        raise Invalid(f"The recording has {samples.size / rate:.3f} s; at least {SHORTEST_S} s are needed.")
    return samples


def _check_header(opened: _Sequential, longest_s: float) -> None:
    if opened.format not in FORMATS:
        raise Invalid(f"The recording is {opened.format}; it must be one of {', '.join(RECORDINGS)}.")
    if opened.samplerate not in RATES:
        allowed = f"{RATES.start:,} to {RATES.stop - 1:,}"
        raise Invalid(f"The recording has {opened.samplerate:,} samples a second; {allowed} are right.")
    if opened.channels > MOST_CHANNELS:
        raise Invalid(f"The recording has {opened.channels} channels; it may have {MOST_CHANNELS}.")
    if longest_s * opened.samplerate < opened.frames < UNKNOWN_FRAMES:
        raise _too_long(_seconds(opened.frames / opened.samplerate), longest_s)


def _check_complete(data: bytes) -> None:
    """libsndfile takes a WAV file that ends early as it is; for the other formats that is an error anyway."""
    if data[:4] != b"RIFF":
        return
    start = 12
    while (name := data[start : start + 4]) != b"data" and len(name) == 4:
        start += 8 + (_size(data, start) + 1) // 2 * 2
    declared, present = _size(data, start), len(data) - start - 8
    if present < declared < STREAMED_BYTES:
        raise Invalid(f"The recording is cut off: {declared:,} bytes of samples are declared, {present:,} are there.")


def _size(data: bytes, start: int) -> int:
    """Of the chunk that starts there."""
    return int.from_bytes(data[start + 4 : start + 8], "little")


def _too_long(length: str, longest_s: float) -> Invalid:
    return Invalid(f"The recording has {length}; {_seconds(longest_s)} are allowed, so send it in parts.")


def _seconds(number: float) -> str:
    return f"{number:,.1f}".removesuffix(".0") + " s"


def _mono(opened: _Sequential, longest_s: float) -> Iterator[Samples]:
    """Raises ``Invalid`` as soon as the body is longer than it may be, whatever the header said."""
    most = int(longest_s * opened.samplerate)
    count = 0
    while len(block := opened.read(BLOCK, dtype="float32", always_2d=True)):
        count += len(block)
        if count > most:
            raise _too_long(f"more than {_seconds(longest_s)}", longest_s)
        if not np.abs(block).max() <= LOUDEST:  # which is false for NaN as well
            raise Invalid("The recording has samples that are no numbers or far too large; from -1 to 1 is right.")
        yield block.mean(axis=1)


def _resampled(blocks: Iterator[Samples], given: int, wanted: int) -> Samples:
    if given == wanted:
        return np.concatenate([np.zeros(0, np.float32), *blocks])
    stream = soxr.ResampleStream(given, wanted, 1, dtype="float32")
    parts = [stream.resample_chunk(block) for block in blocks]
    return np.concatenate([*parts, stream.resample_chunk(np.zeros(0, np.float32), last=True)])
