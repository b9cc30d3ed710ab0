"""Answers about recordings equal the stock pipeline's, whoever shares a batch."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile

from inference.errors import Invalid
from inference.messaging.messages import Job
from tests import tiny_audio_models
from tests.backends.transformers.running import Asked, assert_equal, direct, load, plain, run
from tests.tiny_recordings import encoded, sound, tone

OF_GENERATION = ("language", "task", "max_new_tokens", "num_beams")
DAMAGED = encoded(tone(16_000))[:-100]
CUT_OFF = "The recording is cut off: 32,000 bytes of samples are declared, 31,900 are there."
GREEDY = {"num_beams": 1}


def stock(pipe: Any, data: bytes, parameters: dict[str, Any]) -> Any:
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    generation = {name: value for name, value in parameters.items() if name in OF_GENERATION}
    others = {name: value for name, value in parameters.items() if name not in OF_GENERATION and value is not False}
    return plain(pipe(samples, **others, **({"generate_kwargs": generation} if generation else {})))


def check(folder: Path, task: str, asked: Sequence[Asked], refused: Sequence[tuple[Asked, str]]) -> list[Any]:
    """Run all in one batch, the bad ones between the others; returns the answers to ``asked``."""
    pipeline, pipe = load(folder, threads=1), direct(folder, task)
    assert pipeline.description.task == task
    mixed = [*asked[:2], *(each for each, _ in refused), *asked[2:]]

    outcomes = run(pipeline, mixed)

    between = outcomes[2 : 2 + len(refused)]
    for outcome, (_, message) in zip(between, refused, strict=True):
        assert isinstance(outcome, Invalid)
        assert outcome.message == message
    answers = outcomes[:2] + outcomes[2 + len(refused) :]
    for (data, parameters), answer in zip(asked, answers, strict=True):
        assert_equal(answer, stock(pipe, data, parameters))
    pipeline.close()
    return answers


SOUNDS = [sound(1.0), sound(1.5, pitch=0.1), sound(1.0, pitch=0.3), sound(0.7, pitch=0.2), sound(1.0, pitch=0.02)]


@pytest.mark.parametrize("name", ["audio_classification", "spectrogram_classification"])
def test_labels_are_those_of_the_stock_pipeline(tmp_path: Path, name: str) -> None:
    folder = getattr(tiny_audio_models, name)(tmp_path / "model")
    asked = [(data, {"top_k": 2, "function_to_apply": "sigmoid"} if n % 2 else {}) for n, data in enumerate(SOUNDS)]
    refused: list[tuple[Asked, str]] = [((DAMAGED, {}), CUT_OFF)]
    if name == "audio_classification":
        refused.append(((sound(70.0, rate=8000), {}), "The recording has 70 s; this model takes at most 65 s at once."))
    answers = check(folder, "audio-classification", asked, refused)
    assert len({answer[0]["score"] for answer in answers}) == len(answers)


CTC_REFUSED: list[tuple[Asked, str]] = [
    ((DAMAGED, {}), CUT_OFF),
    (
        (SOUNDS[0], {"return_timestamps": True}),
        'Parameter return_timestamps is true; with this model it may be "word" or "char".',
    ),
    (
        (SOUNDS[0], {"language": "en"}),
        "Parameter language is for models that generate text, such as Whisper; leave it out.",
    ),
    (
        (SOUNDS[0], {"stride_length_s": 0.1}),
        "Parameter stride_length_s is for chunks; send chunk_length_s as well.",
    ),
    (
        (SOUNDS[0], {"chunk_length_s": 1, "stride_length_s": 0.5}),
        "Parameter stride_length_s is 0.5; with a chunk_length_s of 1 it may be 0.333333.",
    ),
]


@pytest.mark.parametrize(
    ("kind", "more"),
    [("Wav2Vec2", {}), ("Wav2Vec2", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}), ("Hubert", {})],
    ids=["group norm", "layer norm", "HuBERT"],
)
def test_characters_for_each_moment(tmp_path: Path, kind: str, more: dict[str, Any]) -> None:
    folder = tiny_audio_models.ctc(tmp_path / "model", kind, **more)
    parameters: list[dict[str, Any]] = [
        {},
        {"return_timestamps": "word"},
        {"return_timestamps": False},
        {"return_timestamps": "char"},
        {"chunk_length_s": 1},
    ]
    asked = list(zip(SOUNDS, parameters, strict=True))
    asked += [(sound(3.2, pitch=0.4), {"chunk_length_s": 1, "stride_length_s": 0.2, "return_timestamps": "word"})]
    if kind == "Hubert":  # as it is cut where its client does not say
        asked += [(sound(33.0, rate=16_000), {"chunk_length_s": 30})]
    answers = check(folder, "automatic-speech-recognition", asked, CTC_REFUSED)
    assert len({answer["text"] for answer in answers}) > len(answers) // 2
    if kind == "Hubert":
        pipeline = load(folder, threads=1)
        assert run(pipeline, [(asked[-1][0], {})]) == [answers[-1]]
        # a chunk of 10 ms remains, which is too short for the model
        [answer] = run(pipeline, [(sound(2.01), {"chunk_length_s": 1, "stride_length_s": 0})])
        assert answer["text"]


WHISPER_REFUSED: list[tuple[Asked, str]] = [
    ((DAMAGED, {}), CUT_OFF),
    ((SOUNDS[0], {"language": "klingon"}), "Parameter language is 'klingon'; this model knows de, en, fr."),
    ((SOUNDS[0], {"max_new_tokens": 61}), "Parameter max_new_tokens is 61; with this model it may be 60."),
    (
        (SOUNDS[0], {"return_timestamps": "char"}),
        'Parameter return_timestamps is "char"; with this model it may be true, false or "word".',
    ),
]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_audio_models.whisper(tmp_path_factory.mktemp("whisper") / "model")


def test_generated_transcripts(whisper: Path) -> None:
    """In one batch: languages said and detected, short and long recordings, chunks, phrases and words with times."""
    long = [sound(3.0, pitch=0.2), sound(4.0, pitch=0.3)]
    asked: list[Asked] = [
        (SOUNDS[0], GREEDY),
        (SOUNDS[1], {}),  # the pipeline's own number of beams
        (SOUNDS[2], {}),
        (SOUNDS[2], GREEDY | {"language": "German"}),
        (SOUNDS[1], GREEDY | {"language": "<|fr|>"}),
        (SOUNDS[1], GREEDY | {"task": "translate"}),
        (SOUNDS[2], GREEDY | {"task": "translate", "language": "fr", "max_new_tokens": 5}),
        (long[0], GREEDY),
        (long[1], GREEDY),
        (SOUNDS[1], GREEDY | {"return_timestamps": True}),
        (long[0], GREEDY | {"return_timestamps": True}),
        (SOUNDS[2], GREEDY | {"return_timestamps": "word"}),
        (long[1], GREEDY | {"return_timestamps": "word"}),
        (SOUNDS[2], GREEDY | {"chunk_length_s": 1, "return_timestamps": False}),
        (long[0], GREEDY | {"chunk_length_s": 1.5, "stride_length_s": 0.2, "return_timestamps": True}),
    ]
    answers = check(whisper, "automatic-speech-recognition", asked, WHISPER_REFUSED)
    assert len({answer["text"] for answer in answers}) > len(answers) // 2


def test_a_model_of_one_language(tmp_path: Path) -> None:
    folder = tiny_audio_models.whisper(tmp_path / "model", languages=())
    asked: list[Asked] = [(SOUNDS[0], GREEDY), (SOUNDS[1], GREEDY), (SOUNDS[2], GREEDY | {"return_timestamps": True})]
    only_one = "This model knows only one language; leave the parameters language and task out."
    refused = [((SOUNDS[0], {"language": "en"}), only_one), ((SOUNDS[0], {"task": "translate"}), only_one)]
    check(folder, "automatic-speech-recognition", asked, refused)


@contextmanager
def counted_rows(pipeline: Any) -> Iterator[list[int]]:
    """How many rows each call of the encoder has."""
    rows: list[int] = []

    def count(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        rows.append(next(len(value) for value in (*given, *named.values()) if getattr(value, "ndim", 0) == 3))

    hook = pipeline._model.get_encoder().register_forward_pre_hook(count, with_kwargs=True)
    yield rows
    hook.remove()


def test_windows_of_all_jobs_are_decoded_together_and_one_that_nobody_waits_for_ends(whisper: Path) -> None:
    pipeline: Any = load(whisper, threads=1)
    jobs = [
        Job(id=n, request_id=f"{n}", input=data, parameters=GREEDY, time_left_s=60) for n, data in enumerate(SOUNDS[:4])
    ]
    prepared = pipeline.prepare(jobs)
    before = [item.tokens for item in prepared]
    with counted_rows(pipeline) as rows:
        answers = pipeline.run(prepared)
    assert rows[0] == len(jobs)
    assert len(set(answers)) > 1
    assert any(item.tokens != most for item, most in zip(prepared, before, strict=True)), "what it did cost"

    [late] = pipeline.prepare(jobs[:1])
    late.stop()
    assert pipeline.run([late]) == [b'{"text":""}']
    assert late.tokens < before[0]
    assert pipeline.run(prepared) == answers
