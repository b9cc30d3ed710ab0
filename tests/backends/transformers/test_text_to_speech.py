"""What is spoken is what the stock pipeline says with the same seed."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from inference.errors import Invalid
from inference.tasks.media import Media
from tests import tiny_audio_models
from tests.backends.transformers.running import Asked, direct, load, run

TEXT = "a small boat on the river"


def heard(answer: Media) -> tuple[Any, int, str]:
    with soundfile.SoundFile(io.BytesIO(answer.data)) as opened:
        return opened.read(), opened.samplerate, opened.format


@pytest.mark.parametrize("voices", [1, 3])
def test_speech(tmp_path: Path, voices: int) -> None:
    import torch  # noqa: PLC0415

    more = {"speaker_embedding_size": 4} if voices > 1 else {}
    folder = tiny_audio_models.vits(tmp_path / "model", num_speakers=voices, **more)
    pipeline, pipe = load(folder, threads=1), direct(folder, "text-to-audio")
    assert pipeline.description.task == "text-to-speech"
    asked: list[Asked] = [
        (TEXT, {"seed": 1}),
        (TEXT, {"seed": 2}),
        ("漢字", {"seed": 1}),
        (TEXT, {"seed": 1, "speaker_id": voices}),
        ("a" * 2000, {"seed": 1}),
        (TEXT + " and more of it", {"seed": 1, "format": "flac"}),
        (TEXT, {"seed": 1, "speaker_id": voices - 1}),
    ]

    outcomes = run(pipeline, asked)

    nothing, voice, long = outcomes[2:5]
    assert all(isinstance(each, Invalid) for each in (nothing, voice, long))
    assert nothing.message == "The input has no characters that this model can speak."
    assert voice.message == f"Parameter speaker_id is {voices}; the last voice of this model is {voices - 1}."
    assert long.message == "The input has 4001 tokens; this model takes at most 2048."
    spoken = {n: answer for n, answer in enumerate(outcomes) if n not in (2, 3, 4)}
    for number, answer in spoken.items():
        text, parameters = asked[number]
        torch.manual_seed(parameters["seed"])
        speaker = {"speaker_id": parameters["speaker_id"]} if "speaker_id" in parameters else {}
        expected = pipe(text, forward_params=speaker)
        samples, rate, kind = heard(answer)
        assert (rate, kind) == (expected["sampling_rate"], parameters.get("format", "wav").upper())
        assert answer.type == {"WAV": "audio/wav", "FLAC": "audio/flac"}[kind]
        assert samples.shape == expected["audio"].shape
        np.testing.assert_allclose(samples, np.clip(expected["audio"], -1, 1), atol=1e-4)
    assert len({answer.data for answer in spoken.values()}) == (3 if voices == 1 else 4), "seeds and voices differ"
    assert run(pipeline, asked[:1]) == outcomes[:1]
    pipeline.close()
