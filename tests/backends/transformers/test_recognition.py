"""Answers about recordings equal the stock pipeline's, whoever shares a batch."""

import io
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import soundfile
from msgspec import structs

from inference.backends.base import Generated, generated
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

    stopped, *running = pipeline.prepare([*jobs, structs.replace(jobs[0], time_left_s=0)])
    late = running.pop()
    stopped.stop()
    assert pipeline.step([stopped]) == [None], "it does not begin"
    assert pipeline.step([stopped, late]) == [None, None], "it ends with its first token"
    assert pipeline.computed_tokens == 0
    assert pipeline.run(running) == answers[1:]


def told(pipeline: Any, jobs: Sequence[Job]) -> dict[int, list[Generated]]:
    """What steps say of each job, while one more joins before each step."""
    waiting, running = list(pipeline.prepare(jobs)), list[Any]()
    said: dict[int, list[Generated]] = {job.id: [] for job in jobs}
    while running or waiting:
        running += waiting[:1]
        del waiting[:1]
        contended = len(waiting) % 2 == 1
        outcomes = pipeline.step(running, 1 if contended else None)
        assert sum(outcome is not None for outcome in outcomes) in ([1] if contended else range(1, len(running) + 1))
        for item, outcome in zip(running, outcomes, strict=True):
            said[item.job.id] += generated(outcome)
        running = [item for item in running if not (said[item.job.id] and said[item.job.id][-1].finish_reason)]
    return said


def test_a_text_grows_window_by_window(whisper: Path) -> None:
    """Joined it is that of the stock pipeline, whoever shares a step; one that resumes says only what is new."""
    pipeline: Any = load(whisper, threads=1)
    pipe = direct(whisper, "automatic-speech-recognition")
    asked: list[Asked] = [
        (sound(9.0, pitch=0.15), GREEDY),
        (sound(7.0, pitch=0.25), {"return_timestamps": True}),
        (SOUNDS[0], GREEDY | {"return_timestamps": True}),
        (SOUNDS[1], GREEDY | {"language": "de"}),
        (sound(5.0, pitch=0.35), GREEDY | {"return_timestamps": "word", "task": "translate"}),
        (sound(5.0, pitch=0.45), GREEDY | {"max_new_tokens": 9}),
        (sound(4.0, pitch=0.55), GREEDY | {"chunk_length_s": 1.5}),
    ]
    jobs = [
        Job(id=n, request_id=f"{n}", input=data, parameters=parameters, time_left_s=60, tokens=True)
        for n, (data, parameters) in enumerate(asked)
    ]
    assert pipeline.description.streams
    said = told(pipeline, jobs)
    for job, tokens in zip(jobs, said.values(), strict=True):
        answer = json.loads(tokens[-1].output)
        assert_equal(answer, stock(pipe, job.input, job.parameters))
        assert "".join(token.text for token in tokens) == answer["text"]
        assert [token.index for token in tokens] == list(range(len(tokens)))
        assert all(token.special for token in tokens if token.token >= pipeline._first_time)

    known = tuple(token.token for token in said[0][: len(said[0]) // 2])
    again = told(pipeline, [structs.replace(jobs[0], resume=known), structs.replace(jobs[3], tokens=False)])
    assert again[0] == [replace(token, logprob=ANY) for token in said[0][len(known) :]]
    assert not any(token.text for token in again[3])
    assert again[3][-1].output == said[3][-1].output


def test_windows_that_depend_on_those_before_are_not_steps(whisper: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whisper, tmp_path / "model")
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"condition_on_prev_tokens": True}))
    assert not load(folder, threads=1).description.streams
    check(folder, "automatic-speech-recognition", [(sound(5.0, pitch=0.2), GREEDY), (SOUNDS[0], GREEDY)], [])


@pytest.mark.parametrize(
    ("tokens", "kept", "frames"),
    [
        ([], 0, 90),
        ([1, 2], 2, 90),
        ([100, 1, 120], 3, 90),
        ([100, 1, 120, 120, 2], 4, 40),
        ([100, 1, 110, 110, 2, 130, 130], 7, 60),
        ([100, 1, 110, 110, 2, 130], 6, 90),
    ],
    ids=["nothing", "no times", "one phrase", "a phrase is cut", "two phrases", "the last has ended"],
)
def test_where_the_next_window_begins(tokens: list[int], kept: int, frames: int) -> None:
    from inference.backends.transformers.speech_written import followed  # noqa: PLC0415 - imports torch

    assert followed(tokens, 100, 90, 2) == (kept, frames)


def test_a_text_is_shared_by_its_tokens() -> None:
    from inference.backends.transformers.speech_written import shared  # noqa: PLC0415 - imports torch

    assert shared("", []) == []
    assert shared(" a day", [" a", "", " day", ""]) == [" a", "", " day", ""]
    assert shared(" é b", [" ", "\ufffd", "\ufffd", " b", ""]) == [" ", "", "", "é b", ""]
    assert shared(" as it is", ["not", " there"]) == ["", " as it is"]
