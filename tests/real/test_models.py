"""Real models through the real server, in one process: what a person would check, made exact.

The models come from ``make test-real``. Answers are greedy, so they are the same in every run.
"""

import json
import math
import operator
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import processes
from tests.conftest import client
from tests.real import models

pytestmark = pytest.mark.timeout(900)  # the first test waits until all models are loaded

PIPELINES = {
    "chat": ("text-generation", "smollm2"),
    "vectors": ("feature-extraction", "minilm"),
    "similarity": ("sentence-similarity", "minilm"),
    "pictures": ("image-classification", "efficientnet"),
    "speech": ("automatic-speech-recognition", "whisper"),
}
"""Task and model by name."""
SENTENCE = "A woman is slicing an onion in the kitchen."
PARAPHRASE = "Someone cuts onions with a knife."
OTHERS = ["The train to Berlin leaves at nine.", "Shares fell sharply after the announcement."]
SPOKEN = [
    "Please send the letter to my sister in London before Friday.",
    "The weather in the mountains will be cold and cloudy tomorrow morning.",
]


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with processes.web(env=_catalog()) as server, client(server) as opened:
        processes.wait_until(lambda: _all_ready(opened), "all models are loaded", processes.START_S)
        yield opened
    assert "Traceback" not in server.log()


def _catalog() -> dict[str, str]:
    missing = [name for _, name in PIPELINES.values() if not models.folder(name).exists()]
    assert not missing, f"run make test-real, which makes the models: there is no {missing[0]}"
    tables = [
        f'[{name}]\ntask = "{task}"\nmodel = "{models.folder(model)}"\n' for name, (task, model) in PIPELINES.items()
    ]
    path = processes.scratch() / "real.toml"
    path.write_text("\n".join(tables))
    return {"INFERENCE_PIPELINES": str(path)}


def _all_ready(http: httpx.Client) -> bool:
    states = {name: each["status"] for name, each in http.get("/health/ready").json()["pipelines"].items()}
    assert "failed" not in states.values(), f"models cannot be loaded: {states}"
    return set(states.values()) == {"ready"}


def ask(http: httpx.Client, pipeline: str, inputs: Any, **parameters: Any) -> Any:
    reply = http.post(f"/pipelines/{pipeline}", json={"inputs": inputs, "parameters": parameters})
    assert reply.status_code == 200, reply.text
    return reply.json()


def send(http: httpx.Client, pipeline: str, file: Path, content_type: str) -> Any:
    """A file as the body, as ``curl --data-binary`` sends it."""
    headers = {"Content-Type": content_type}
    reply = http.post(f"/pipelines/{pipeline}", content=file.read_bytes(), headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize(
    ("question", "word"),
    [("What is the capital of France?", "Paris"), ("What color is the sky on a clear day?", "blue")],
)
def test_a_chat_knows_the_world(http: httpx.Client, question: str, word: str) -> None:
    messages = [{"role": "user", "content": question}]
    greedy = {"do_sample": False, "max_new_tokens": 40}
    (answer,) = ask(http, "chat", messages, **greedy)
    *asked, said = answer["generated_text"]
    assert asked == messages
    assert said["role"] == "assistant"
    assert word in said["content"]

    reply = http.post("/pipelines/chat", json={"inputs": messages, "parameters": greedy, "stream": True})
    events = [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line.startswith("data: ")]
    streamed = "".join(event["token"]["text"] for event in events if not event["token"]["special"])
    assert streamed == said["content"] == events[-1]["generated_text"]


def test_vectors_of_paraphrases_are_near(http: httpx.Client) -> None:
    vectors = ask(http, "vectors", [SENTENCE, PARAPHRASE, *OTHERS], pooling="mean", normalize=True)
    for vector in vectors:
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)
    near, *far = [product(vectors[0], other) for other in vectors[1:]]
    assert near > 0.6
    assert max(far) < 0.2


def test_similarity_is_that_of_the_vectors(http: httpx.Client) -> None:
    sentences = [PARAPHRASE, *OTHERS]
    scores = ask(http, "similarity", {"source_sentence": SENTENCE, "sentences": sentences})
    assert scores[0] > 0.6 > 0.2 > max(scores[1:])

    vectors = ask(http, "vectors", [SENTENCE, *sentences], pooling="mean", normalize=True)
    assert scores == pytest.approx([product(vectors[0], other) for other in vectors[1:]], abs=1e-4)


@pytest.mark.parametrize(("photograph", "subject"), [("chelsea", "cat"), ("coffee", "espresso")])
def test_photographs_show_what_they_show(http: httpx.Client, photograph: str, subject: str) -> None:
    best, *_ = send(http, "pictures", models.folder("photographs") / f"{photograph}.png", "image/png")
    assert subject in best["label"].lower().replace(",", " ").split()


@pytest.mark.parametrize("sentence", SPOKEN)
def test_speech_is_written_down(http: httpx.Client, tmp_path: Path, sentence: str) -> None:
    spoken = tmp_path / "spoken.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-w", spoken, sentence], check=True)
    heard = send(http, "speech", spoken, "audio/wav")
    assert words(heard["text"]) == words(sentence)


def product(one: list[float], other: list[float]) -> float:
    return float(sum(map(operator.mul, one, other)))


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
