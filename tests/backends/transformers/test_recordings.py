"""Recordings are decoded as libsndfile and soxr do, or refused with one sentence; never anything else."""

import io
import random
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

from inference.backends.transformers.recordings import read_recording
from inference.errors import Invalid
from tests.tiny_recordings import TEN_HOURS, encoded, flac_with, tone, wav_with

RATE, LONGEST_S = 16_000, 60.0
KINDS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAVEX", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def refusal(data: bytes, longest_s: float = LONGEST_S) -> str:
    with pytest.raises(Invalid) as raised:
        read_recording(data, RATE, longest_s)
    return raised.value.message


@pytest.mark.parametrize(("kind", "subtype"), KINDS)
@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (16_000, 1)])
def test_samples_are_the_mean_of_the_channels_at_the_rate_that_is_wanted(
    kind: str, subtype: str, rate: int, channels: int
) -> None:
    data = encoded(tone(3 * rate, channels=channels), rate, kind, subtype)
    decoded, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    expected = soxr.resample(decoded.mean(axis=1), rate, RATE)

    samples = read_recording(data, RATE, LONGEST_S)

    assert samples.dtype == np.float32
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples, expected, atol=1e-6)
    assert 0.2 < np.abs(samples).max() < 0.8


def test_a_recording_of_unknown_length_is_read_to_its_end() -> None:
    """As programs write them into a pipe."""
    for data in (
        flac_with(encoded(tone(70_000), kind="FLAC"), samples=0),
        wav_with(encoded(tone(70_000)), bytes_of_samples=0xFFFF_FFFF),
        wav_with(encoded(tone(70_000)), bytes_of_samples=0x7FFF_F000),
    ):
        np.testing.assert_allclose(read_recording(data, RATE, LONGEST_S), tone(70_000)[:, 0], atol=1e-4)


def test_what_a_header_says_too_much_is_refused_before_anything_is_decoded() -> None:
    flac = flac_with(encoded(tone(RATE), kind="FLAC"), samples=TEN_HOURS)
    wav = wav_with(encoded(tone(RATE)), bytes_of_samples=2 * TEN_HOURS)
    tracemalloc.start()
    try:
        assert refusal(flac) == "The recording has 36,000 s; 60 s are allowed, so send it in parts."
        assert refusal(wav) == (
            "The recording is cut off: 1,152,000,000 bytes of samples are declared, 32,000 are there."
        )
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_silence_that_is_well_compressed_takes_no_more_memory_than_its_limit() -> None:
    """Ten minutes in 200 kB, of which the header says nothing."""
    data = flac_with(encoded(np.zeros((96_000 * 600, 1), np.int8).astype(np.int16), 96_000, "FLAC"), samples=0)
    assert len(data) < 400_000
    tracemalloc.start()
    try:
        assert refusal(data, 10.0) == "The recording has more than 10 s; 10 s are allowed, so send it in parts."
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_header_that_says_too_little_is_believed() -> None:
    assert len(read_recording(wav_with(encoded(tone(RATE)), bytes_of_samples=2000), RATE, LONGEST_S)) == 1000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (wav_with(encoded(tone(100)), rate=1), "has 1 samples a second; 2,000 to 384,000 are right"),
        (wav_with(encoded(tone(100)), rate=10_000_000), "has 10,000,000 samples a second; 2,000 to 384,000 are"),
        (encoded(tone(100, channels=20)), "has 20 channels; it may have 16"),
        (encoded(tone(0)), "has 0.000 s; at least 0.05 s are needed"),
        (encoded(np.full((100, 1), np.nan, np.float32), subtype="FLOAT"), "has samples that are no numbers"),
        (encoded(np.full((100, 1), np.inf, np.float32), subtype="FLOAT"), "has samples that are no numbers"),
        (encoded(np.full((100, 1), 1e30, np.float32), subtype="FLOAT"), "far too large; from -1 to 1 is right"),
        (encoded(tone(RATE))[:-2], "is cut off: 32,000 bytes of samples are declared, 31,998 are there"),
        (encoded(tone(RATE))[:20], "cannot be read"),
        (encoded(tone(RATE), kind="OGG")[:100], "cannot be read"),
        (encoded(tone(100), kind="AIFF"), "is AIFF; it must be one of WAV, FLAC, Ogg, MP3"),
        (b"", "cannot be read (Format not recognised); it must be one of WAV, FLAC, Ogg, MP3, and complete"),
        (b"RIFF\xff\xff\xff\x00WAVE", "cannot be read"),
        (encoded(tone(RATE * 61), kind="MP3"), "s; 60 s are allowed, so send it in parts"),
    ],
    ids=map(str, range(99)),  # an Ogg file has a number that is drawn
)
def test_what_is_wrong_is_said_in_one_sentence(data: bytes, message: str) -> None:
    said = refusal(data)
    assert message in said
    assert said.startswith("The recording ")
    assert said.count(". ") == 0
    assert said.endswith(".")


@pytest.mark.parametrize(("kind", "subtype"), [KINDS[number] for number in (1, 4, 7, 8, 9, 10)])
def test_damaged_files_are_refused_or_decoded(kind: str, subtype: str) -> None:
    whole, chance = encoded(tone(4000, channels=2), 24_000, kind, subtype), random.Random(f"{kind} {subtype}")
    refused = 0
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 2, 8, 40))):
            place = int(chance.random() ** 2 * len(data))  # rather near the beginning
            match chance.randrange(4):
                case 0:
                    data[place : place + 1] = bytes([chance.randrange(256)])
                case 1:
                    del data[place : place + chance.randrange(1, 50)]
                case 2:
                    data[place:place] = chance.randbytes(chance.randrange(1, 20))
                case _:
                    del data[place:]
        try:
            samples = read_recording(bytes(data), RATE, LONGEST_S)
        except Invalid:
            refused += 1
        else:
            assert samples.dtype == np.float32
            assert np.isfinite(samples).all()
    assert refused
