"""Recordings in and out, through a real server with several pipelines, in all forms in which clients send them."""

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile
from playwright.sync_api import Page, expect
from websockets.sync.client import connect

from inference.tasks.media import EXAMPLE_IMAGE
from tests import processes
from tests.backends.transformers.running import assert_equal, direct, plain
from tests.conftest import CLIENT_S, client
from tests.pages.modules import give
from tests.processes import Redis, Web, Worker
from tests.tiny_recordings import TEN_HOURS, encoded, flac_with, sound, tone, wav_with

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TASKS = {
    "noises": "audio-classification",
    "letters": "automatic-speech-recognition",
    "speech": "automatic-speech-recognition",
    "voice": "text-to-speech",
    "colours": "image-classification",
}
"""By pipeline."""
RECORDING, OTHER = sound(1.0), sound(1.3, pitch=0.2, kind="FLAC")
IMAGE = base64.b64decode(EXAMPLE_IMAGE)
LONG = base64.b64encode(sound(9.0, pitch=0.4)).decode()
FORMATS = "WAV, FLAC, Ogg or MP3"
GREEDY: dict[str, Any] = {"num_beams": 1}
OF_WORDS: dict[str, Any] = {"timestamp_granularities[]": "word"}


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def folders() -> dict[str, Path]:
    """By pipeline."""
    from tests import tiny_audio_models, tiny_media_models  # noqa: PLC0415 - import torch

    models = {
        "noises": tiny_audio_models.audio_classification,
        "letters": tiny_audio_models.ctc,
        "speech": tiny_audio_models.whisper,
        "voice": tiny_audio_models.vits,
        "colours": tiny_media_models.image_classification,
    }
    place = processes.scratch() / "audio"
    return {name: make(place / name) for name, make in models.items()}


@pytest.fixture(scope="module")
def server(folders: dict[str, Path]) -> Iterator[Web]:
    catalog = processes.scratch() / "audio.toml"
    tables = [f'[{name}]\ntask = "{TASKS[name]}"\nmodel = "{folder}"\n' for name, folder in folders.items()]
    catalog.write_text(
        "\n".join(
            [
                *tables,
                "[noises2]",
                'task = "audio-classification"',
                f'model = "{folders["noises"]}"',
                "max_audio_s = 0.5",
            ]
        )
    )
    env = {"INFERENCE_PIPELINES": str(catalog), "INFERENCE_LOG_INPUTS": "full"}
    with processes.web(env=env, wait_for="/health/live") as web:
        web.wait_until_loaded()
        yield web
        assert "Traceback" not in web.log()


@pytest.fixture
def http(server: Web) -> Iterator[httpx.Client]:
    with client(server) as opened:
        yield opened


@pytest.fixture(scope="module")
def answers(folders: dict[str, Path]) -> dict[str, Any]:
    """Those of the stock pipelines to ``RECORDING``."""
    samples, _ = soundfile.read(io.BytesIO(RECORDING), dtype="float32")
    hearing = {name: direct(folders[name], TASKS[name]) for name in ("noises", "letters", "speech")}
    return {name: plain(pipe(samples)) for name, pipe in hearing.items()}


def send(http: httpx.Client, pipeline: str, content: bytes, content_type: str | None = None) -> httpx.Response:
    headers = {} if content_type is None else {"content-type": content_type}
    return http.post(f"/pipelines/{pipeline}", content=content, headers=headers)


def ask(http: httpx.Client, pipeline: str, inputs: Any, **parameters: Any) -> Any:
    reply = http.post(f"/pipelines/{pipeline}", json={"inputs": inputs, "parameters": parameters})
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize("pipeline", ["noises", "letters", "speech"])
def test_a_recording_is_a_body_or_base64(http: httpx.Client, answers: dict[str, Any], pipeline: str) -> None:
    for content_type in ("audio/wav", "audio/x-wav", "application/octet-stream", None):
        reply = send(http, pipeline, RECORDING, content_type)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        assert_equal(reply.json(), answers[pipeline])
    text = in_base64(RECORDING)
    assert_equal(ask(http, pipeline, text), answers[pipeline])
    assert_equal(ask(http, pipeline, f"data:audio/wav;base64,{text}"), answers[pipeline])
    first, second, third = ask(http, pipeline, [text, in_base64(OTHER), text])
    assert first != second
    assert_equal(first, third)


def test_all_formats_are_taken(http: httpx.Client) -> None:
    for kind, subtype in (("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("WAV", "FLOAT")):
        data = encoded(tone(24_000, channels=2), 24_000, kind, subtype)
        assert send(http, "noises", data, "audio/*").status_code == 200


def test_parameters_reach_the_pipeline(http: httpx.Client) -> None:
    text = in_base64(RECORDING)
    assert len(ask(http, "noises", text, top_k=2)) == 2
    assert ask(http, "letters", text, return_timestamps="char")["chunks"]
    assert ask(http, "speech", text, return_timestamps=True, language="german", **GREEDY)["chunks"]
    refused = http.post("/pipelines/speech", json={"inputs": text, "parameters": {"language": "klingon"}})
    assert (refused.status_code, refused.json()["error"]) == (
        422,
        "Parameter language is 'klingon'; this model knows de, en, fr.",
    )


def test_a_recording_in_a_frame(server: Web, answers: dict[str, Any]) -> None:
    with connect(f"ws://127.0.0.1:{server.port}/pipelines/speech/ws/", proxy=None) as socket:
        for number, inputs in enumerate((in_base64(RECORDING), [in_base64(RECORDING)] * 2, "no recording")):
            socket.send(json.dumps({"type": "infer", "id": str(number), "inputs": inputs}))
        outcome = ended(socket, 3)
    assert_equal(outcome["0"]["output"], answers["speech"])
    assert_equal(outcome["1"]["output"], [answers["speech"]] * 2)
    assert outcome["2"]["message"].startswith("The input is a text that is not base64; send a recording")


def test_a_transcript_streams_window_by_window(server: Web, http: httpx.Client) -> None:
    body: dict[str, Any] = {"inputs": LONG, "parameters": GREEDY | {"return_timestamps": True}}
    whole = http.post("/pipelines/speech", json=body).json()
    events = events_of(http, body | {"stream": True})
    assert "".join(event["token"]["text"] for event in events) == events[-1]["generated_text"] == whole["text"]
    assert [event["index"] for event in events] == list(range(1, events[-1]["details"]["generated_tokens"] + 1))
    assert {event["token"]["logprob"] for event in events} == {None}, "it is not known"

    with connect(f"ws://127.0.0.1:{server.port}/pipelines/speech/ws/", proxy=None) as socket:
        socket.send(json.dumps({"type": "infer", "id": "1", "stream": True, **body}))
        frames = frames_until(socket, "result", "error")
    tokens = [frame["text"] for frame in frames if frame["type"] == "token"]
    assert sum(map(bool, tokens)) > 1
    assert said(frames) == whole["text"]
    assert frames[-1]["output"] == whole
    assert frames[-1]["generated_tokens"] == len(tokens) == len(events)

    detailed = http.post("/pipelines/speech", json=body | {"parameters": body["parameters"] | {"details": True}}).json()
    assert [token["id"] for token in detailed.pop("details")["tokens"]] == [event["token"]["id"] for event in events]
    assert detailed == whole
    refused = http.post("/pipelines/letters", json={"inputs": LONG, "stream": True})
    assert refused.json()["error"] == "automatic-speech-recognition does not stream; leave 'stream' out."


def events_of(http: httpx.Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Server-sent events."""
    reply = http.post("/pipelines/speech", json=body)
    assert reply.headers["content-type"] == "text/event-stream"
    return [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line]


def frames_until(socket: Any, *types: str) -> list[dict[str, Any]]:
    """The last one is of one of these types."""
    frames = [json.loads(socket.recv(CLIENT_S))]
    while frames[-1]["type"] not in types:
        frames.append(json.loads(socket.recv(CLIENT_S)))
    return frames


def test_a_stream_goes_on_where_it_was_when_its_worker_is_killed(redis: Redis, folders: dict[str, Path]) -> None:
    """It has written two windows. One that is cancelled then ends in what they say."""
    env = {"INFERENCE_MODEL": str(folders["speech"]), "INFERENCE_TASK": TASKS["speech"], "INFERENCE_THREADS": "1"}
    env |= {"INFERENCE_LAYER_PREFIX": "speech"}
    ask = {"type": "infer", "inputs": LONG, "parameters": GREEDY, "stream": True, "timeout_s": 100}
    hold = processes.new_hold()
    with (
        processes.worker(redis, env | hold.env, wait=False) as one,
        processes.worker(redis, env | hold.env, wait=False) as other,
        processes.web(redis, env) as web,
        connect(f"ws://127.0.0.1:{web.port}/ws/", proxy=None) as socket,
    ):

        def begun(name: str) -> tuple[list[dict[str, Any]], Worker]:
            socket.send(json.dumps(ask | {"id": name}))
            frames = frames_until(socket, "token")
            processes.wait_until(lambda: hold.holds(one.pid) or hold.holds(other.pid), "two windows are written")
            return frames, one if hold.holds(one.pid) else other

        with hold(after=2):
            frames, _ = begun("cancelled")
            socket.send(json.dumps({"type": "cancel", "id": "cancelled"}))
            frames += frames_until(socket, "result", "error")
        text = said(frames)
        assert text
        assert (frames[-1]["finish_reason"], frames[-1]["output"]) == ("cancelled", {"text": text})
        socket.send(json.dumps(ask | {"id": "whole"}))
        whole = frames_until(socket, "result", "error")
        assert said(whole).startswith(text)

        with hold(after=2):
            frames, doomed = begun("lost")
            doomed.kill()
        frames += frames_until(socket, "result", "error")
        assert frames[-1]["output"] == whole[-1]["output"] == {"text": said(frames)}
        indexes = [frame["index"] for frame in frames if frame["type"] == "token"]
        assert indexes == list(range(frames[-1]["generated_tokens"]))
        assert "is lost; 1 job" in web.log()
        with client(web) as http:
            recording = base64.b64decode(LONG)
            heard = transcribe(http, recording, response_format="verbose_json", language="fr", **GREEDY)
        assert (heard["duration"], heard["language"]) == (9.0, "french")


def said(frames: list[dict[str, Any]]) -> str:
    return "".join(frame["text"] for frame in frames if frame["type"] == "token")


def ended(socket: Any, count: int) -> dict[str, Any]:
    """The last frames of requests, by their ids."""
    outcome: dict[str, Any] = {}
    while len(outcome) < count:
        frame = json.loads(socket.recv(CLIENT_S))
        if frame["type"] in ("result", "error"):
            outcome[frame["id"]] = frame
    return outcome


@pytest.mark.parametrize(
    ("pipeline", "content", "status", "error"),
    [
        ("speech", b"", 400, 'The body is empty; send a text, or JSON such as {"inputs": "a text"}.'),
        ("noises", b"a text", 422, f"The input is a text that is not base64; send a recording ({FORMATS}) in base64."),
        ("letters", IMAGE, 422, f"The input must be a recording ({FORMATS}); the bytes that were sent are image/png."),
        (
            "colours",
            RECORDING,
            422,
            "The input must be an image (PNG, JPEG, WebP, GIF or BMP); the bytes that were sent are audio/wav.",
        ),
        ("voice", RECORDING, 400, None),
        (
            "speech",
            flac_with(encoded(tone(16_000), kind="FLAC"), samples=TEN_HOURS),
            422,
            "The recording has 36,000 s; 1,800 s are allowed, so send it in parts.",
        ),
        (
            "letters",
            wav_with(RECORDING, bytes_of_samples=2 * TEN_HOURS),
            422,
            "The recording is cut off: 1,152,000,000 bytes of samples are declared, 32,000 are there.",
        ),
        ("noises2", RECORDING, 422, "The recording has 1 s; 0.5 s are allowed, so send it in parts."),
        ("noises", RECORDING[:30], 422, None),
        ("speech", encoded(tone(100)), 422, "The recording has 0.006 s; at least 0.05 s are needed."),
    ],
    ids=["nothing", "text", "image", "of images", "of texts", "10 hours", "cut off", "limit", "broken", "short"],
)
def test_what_is_wrong_is_said(
    http: httpx.Client, pipeline: str, content: bytes, status: int, error: str | None
) -> None:
    reply = send(http, pipeline, content)
    assert reply.status_code == status
    assert reply.json()["error"] == error or error is None


def test_one_bad_recording_harms_no_other(http: httpx.Client, answers: dict[str, Any]) -> None:
    bad = wav_with(RECORDING, rate=1)
    with ThreadPoolExecutor(6) as threads:
        replies = list(threads.map(lambda data: send(http, "speech", data), [RECORDING, bad] * 3))
    assert [reply.status_code for reply in replies] == [200, 422] * 3
    for reply in replies[::2]:
        assert_equal(reply.json(), answers["speech"])


def test_speech_is_the_body_of_its_answer(http: httpx.Client) -> None:
    reply = send(http, "voice", b"a small boat", "text/plain")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "audio/wav")
    assert soundfile.read(io.BytesIO(reply.content))[1] == 16_000
    asked = {"inputs": "a small boat", "parameters": {"seed": 3, "format": "flac"}}
    one, two = (http.post("/pipelines/voice", json=asked) for _ in range(2))
    assert (one.headers["content-type"], one.content[:4]) == ("audio/flac", b"fLaC")
    assert one.content == two.content
    [in_list] = ask(http, "voice", ["a small boat"], seed=3, format="flac")
    assert in_list == {"content-type": "audio/flac", "blob": in_base64(one.content)}
    refused = http.post("/pipelines/voice", json={"inputs": ["a boat"], "parameters": {"format": "mp3"}})
    assert refused.json()["error"] == "Parameter format is 'mp3'; it must be one of wav, flac."


def test_what_was_spoken_is_heard(http: httpx.Client) -> None:
    """An answer is an input of another pipeline."""
    spoken = send(http, "voice", b"a small boat, and a long river beside it", "text/plain")
    assert send(http, "speech", spoken.content, spoken.headers["content-type"]).json()["text"]


def transcribe(http: httpx.Client, data: bytes = RECORDING, path: str = "transcriptions", **fields: Any) -> Any:
    """As OpenAI's clients ask for it."""
    reply = http.post(f"/v1/audio/{path}", files={"file": ("a.wav", data)}, data=fields)
    assert reply.status_code == 200, reply.text
    return reply.json() if reply.headers["content-type"] == "application/json" else reply.text


def test_transcripts_for_openai_are_those_of_the_pipelines(http: httpx.Client, answers: dict[str, Any]) -> None:
    """Whisper is told to transcribe: without that, and without a language, it may do what it likes."""
    given = in_base64(RECORDING)
    spoken = ask(http, "speech", given, task="transcribe")
    for pipeline, expected in (("letters", answers["letters"]), ("speech", spoken)):
        text = expected["text"].lstrip()
        assert transcribe(http, model=pipeline) == {"text": text, "usage": {"type": "duration", "seconds": 1.0}}
        assert transcribe(http, model=pipeline, response_format="text") == text
    timed = ask(http, "speech", LONG, return_timestamps=True, language="de", task="transcribe", **GREEDY)
    told = transcribe(
        http, base64.b64decode(LONG), model="speech", response_format="verbose_json", language="de", **GREEDY
    )
    assert [(each["start"], each["text"]) for each in told["segments"]] == [
        (chunk["timestamp"][0], chunk["text"]) for chunk in timed["chunks"]
    ]
    assert (told["duration"], told["language"]) == (9.0, "german")
    detected = transcribe(http, model="speech", response_format="verbose_json")["language"]
    assert transcribe(http, model="speech", language=detected)["text"] == spoken["text"].lstrip()
    words = ask(http, "letters", given, return_timestamps="word")["chunks"]
    told = transcribe(http, model="letters", response_format="verbose_json", **OF_WORDS)
    assert [(each["word"], each["end"]) for each in told["words"]] == [(w["text"], w["timestamp"][1]) for w in words]
    assert told["language"] == ""
    assert transcribe(http, model="letters", response_format="vtt").startswith("WEBVTT\n\n00:00:00.")
    english = ask(http, "speech", given, task="translate")["text"].lstrip()
    assert transcribe(http, path="translations", model="speech")["text"] == english


def test_a_transcript_for_openai_streams(http: httpx.Client) -> None:
    long = base64.b64decode(LONG)
    whole = transcribe(http, long, model="speech", **GREEDY)
    events = transcribe(http, long, model="speech", stream="true", **GREEDY).split("\n\n")[:-1]
    *deltas, end = (json.loads(event.removeprefix("data: ")) for event in events)
    assert {event["type"] for event in deltas} == {"transcript.text.delta"}
    assert len(deltas) > 1
    joined = "".join(event["delta"] for event in deltas)
    assert joined == whole["text"]
    assert end == {"type": "transcript.text.done", "text": joined}


def test_speech_for_openai(http: httpx.Client) -> None:
    body = {"model": "voice", "input": "a small boat", "voice": "alloy", "response_format": "flac", "seed": 3}
    reply = http.post("/v1/audio/speech", json=body)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "audio/flac")
    same = {"inputs": "a small boat", "parameters": {"seed": 3, "format": "flac"}}
    assert reply.content == http.post("/pipelines/voice", json=same).content


@pytest.mark.parametrize(
    ("path", "asked", "status", "param", "message"),
    [
        ("transcriptions", {"data": {"model": "speech"}}, 400, "file", "'file' is a text, not a file"),
        ("transcriptions", {"json": {}}, 415, None, "The body is application/json; send a form (multipart/form-data)"),
        (
            "transcriptions",
            {"data": {"model": "letters", "stream": "true"}},
            400,
            "stream",
            "Pipeline letters does not",
        ),
        ("transcriptions", {"data": {"model": "speech", "language": "xx"}}, 400, None, "Parameter language is 'xx'"),
        ("translations", {"data": {"model": "letters"}}, 400, "model", "The model of pipeline letters does not transl"),
        ("speech", {"json": {"model": "voice", "input": "a", "voice": "9"}}, 400, None, "Parameter speaker_id is 9;"),
        ("speech", {"json": {"model": "voice"}}, 400, "input", "There is no 'input'; send an object such as"),
    ],
    ids=range(7),
)
def test_what_is_wrong_is_said_to_openai(
    http: httpx.Client, path: str, asked: dict[str, Any], status: int, param: str | None, message: str
) -> None:
    file = ("a.wav", RECORDING) if param != "file" else (None, b"text")
    more: dict[str, Any] = {} if "json" in asked else {"files": {"file": file}}
    reply = http.post(f"/v1/audio/{path}", **asked, **more)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (status, param)
    assert error["message"].startswith(message)


def test_speech_in_a_frame(server: Web) -> None:
    with connect(f"ws://127.0.0.1:{server.port}/pipelines/voice/ws/", proxy=None) as socket:
        socket.send(json.dumps({"type": "infer", "id": "1", "inputs": "a boat", "parameters": {"seed": 1}}))
        output = ended(socket, 1)["1"]["output"]
    assert output["content-type"] == "audio/wav"
    assert base64.b64decode(output["blob"])[:4] == b"RIFF"


def test_the_log_has_type_and_size_and_never_the_bytes(server: Web, http: httpx.Client) -> None:
    reply = send(http, "speech", RECORDING, "audio/wav")
    row = server.row(reply.headers["x-request-id"])
    assert (row["status"], row["preview"]) == ("ok", f'["(audio/wav, {len(RECORDING)} bytes)"]')
    assert in_base64(RECORDING)[:40] not in server.log()


def test_recordings_are_dropped_into_the_playground(page: Page, server: Web) -> None:
    page.goto(f"{server.url}/playground/noises")
    chosen = page.get_by_role("list", name="Chosen recordings").get_by_role("listitem")
    expect(chosen).to_contain_text("example.wav")
    give(page, "h1", "drop", ("dog.wav", "audio/wav", RECORDING))
    expect(chosen).to_contain_text(["dog.wav"])
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("list", name="Labels and scores").get_by_role("listitem")).not_to_have_count(0)


def test_transcripts_and_speech_in_the_playground(page: Page, server: Web) -> None:
    page.goto(f"{server.url}/playground/letters")
    give(page, "h1", "drop", ("speech.wav", "audio/wav", RECORDING))
    page.get_by_label("return_timestamps").select_option("word")
    page.get_by_role("button", name="Run").click()
    words = page.locator(".words").get_by_role("button")
    words.first.click()
    expect(words.first).to_have_class("now")

    page.goto(f"{server.url}/playground/voice")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("region", name="Answer")).to_contain_text("s, audio/wav")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "voice.wav"
