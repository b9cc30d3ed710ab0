"""Embeddings and rerank in the shapes of all clients, through a real server."""

import base64
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import processes
from tests.conftest import client
from tests.processes import Redis, Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

QUERY = "where is the boat"
TEXTS = ["in town", "on the river", "bread"]
LONG = " ".join(["the old river runs under a stone bridge"] * 20)


def models_of(folder: Path) -> dict[str, tuple[str, Path]]:
    """Task and checkpoint by pipeline."""
    from tests import tiny_models as models  # noqa: PLC0415 - imports torch
    from tests.tiny_models_sentences import sentence_transformer  # noqa: PLC0415

    ranking = models.bert(folder / "ranking", "BertForSequenceClassification", id2label={0: "relevance"})
    meaning = sentence_transformer(folder / "meaning")
    return {
        "ranking": ("text-ranking", models.poisoned(ranking)),
        "meaning": ("feature-extraction", meaning),
        "similar": ("sentence-similarity", meaning),
        "labels": ("text-classification", models.text_classification(folder / "labels")),
    }


def catalog(path: Path, pipelines: dict[str, tuple[str, Path | str]]) -> dict[str, str]:
    """The setting with a file of these."""
    tables = [f'[{name}]\ntask = "{task}"\nmodel = "{model}"\n' for name, (task, model) in pipelines.items()]
    path.write_text("\n".join(tables))
    return {"INFERENCE_PIPELINES": str(path)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("rerank")
    models = models_of(folder)
    with processes.web(env=catalog(folder / "pipelines.toml", {**models})) as server:
        server.wait_until_loaded()
        yield server


@pytest.fixture
def http(server: Web) -> Iterator[httpx.Client]:
    with client(server) as opened:
        yield opened


def ask(http: httpx.Client, path: str, **fields: Any) -> Any:
    reply = http.post(path, json=fields)
    assert reply.status_code == 200, reply.text
    return reply.json()


def near(scored: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, but for rounding, which is not the same in every batch."""
    return [each | {"score": pytest.approx(each["score"], abs=1e-5)} for each in scored]


def test_all_shapes_have_the_same_ranking(http: httpx.Client) -> None:
    own = near(ask(http, "/pipelines/ranking", inputs={"query": QUERY, "texts": TEXTS}))
    assert ask(http, "/pipelines/ranking/rerank", query=QUERY, texts=TEXTS) == own
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        answer = ask(http, path, model="ranking", query=QUERY, documents=TEXTS)
        found = [{"index": each["index"], "score": each["relevance_score"]} for each in answer["results"]]
        assert found == own, path
        assert answer["usage"]["prompt_tokens"] > 3 * len(QUERY.split())
    best = ask(http, "/v2/rerank", model="ranking", query=QUERY, documents=[*TEXTS, LONG * 20], top_n=1)
    assert len(best["results"]) == 1
    assert ask(http, "/v1/rerank", query=QUERY, documents=TEXTS)["model"] == "ranking", "the default one"


def test_vectors_are_the_checkpoints_own(http: httpx.Client) -> None:
    own = ask(http, "/pipelines/meaning", inputs=TEXTS, parameters={"pooling": "model", "normalize": True})
    found = ask(http, "/pipelines/meaning/embed", inputs=TEXTS)
    assert found == [pytest.approx(vector, abs=1e-5) for vector in own]
    assert ask(http, "/embed", model="meaning", inputs=TEXTS[0]) == [pytest.approx(found[0], abs=1e-5)]
    asked = http.post("/pipelines/meaning/embed", json={"inputs": LONG, "truncate": True, "dimensions": 5})
    assert len(asked.json()[0]) == 5
    assert asked.headers["x-compute-tokens"] == "32"
    prompted = ask(http, "/pipelines/meaning/embed", inputs=TEXTS, prompt_name="query")
    assert prompted[0] != pytest.approx(found[0], abs=1e-3)


def test_embeddings_of_openai_are_the_same_in_both_formats(http: httpx.Client) -> None:
    [*vectors] = ask(http, "/pipelines/meaning/embed", inputs=TEXTS)
    answer = ask(http, "/v1/embeddings", model="meaning", input=TEXTS)
    assert [each["embedding"] for each in answer["data"]] == [pytest.approx(vector, abs=1e-5) for vector in vectors]
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] == 4 + 5 + 3
    [packed] = ask(http, "/v1/embeddings", model="meaning", input=TEXTS[1], encoding_format="base64")["data"]
    floats = struct.unpack("<16f", base64.b64decode(packed["embedding"]))
    assert floats == pytest.approx(vectors[1], abs=1e-5)
    few = ask(http, "/pipelines/meaning/v1/embeddings", model="?", input=TEXTS[1], dimensions=4)["data"][0]["embedding"]
    assert sum(value * value for value in few) == pytest.approx(1, abs=1e-5)


def test_texts_and_pairs_are_classified(http: httpx.Client) -> None:
    path = "/pipelines/labels/predict"
    text, pair = ask(http, path, inputs=[["the old river"], TEXTS[:2]])
    assert ask(http, path, inputs=TEXTS[:2]) == near(pair)
    assert ask(http, path, inputs="the old river")[0]["label"] == text[0]["label"]
    assert [each["label"] for each in text] != ["glad"]
    raw = ask(http, path, inputs="the old river", raw_scores=True)
    assert [each["label"] for each in raw] == [each["label"] for each in text]
    assert sum(each["score"] for each in text) == pytest.approx(1)
    assert sum(each["score"] for each in raw) != pytest.approx(1)


def test_sentences_are_compared(http: httpx.Client) -> None:
    sentences = {"source_sentence": TEXTS[0], "sentences": TEXTS}
    scores = ask(http, "/similarity", model="similar", inputs=sentences)
    assert scores[0] == pytest.approx(1)
    assert max(scores[1:]) < 1


@pytest.mark.parametrize(
    ("path", "fields", "status", "error"),
    [
        ("/pipelines/ranking/rerank", {"query": "a", "texts": []}, 400, "Empty"),
        ("/pipelines/ranking/rerank", {"query": "a", "texts": ["a", LONG]}, 422, "Validation"),
        ("/pipelines/ranking/rerank", {"query": "a", "texts": ["a zebra"]}, 424, "Backend"),
        ("/pipelines/nothing/embed", {"inputs": "a"}, 404, "Validation"),
        ("/pipelines/meaning/embed", {"inputs": "a" * 2**21}, 413, "Validation"),
        ("/pipelines/meaning/embed", {"inputs": "a", "dimensions": 99}, 422, "Validation"),
        ("/v1/embeddings", {"model": "meaning", "input": [[1, 2]]}, 400, "error"),
        ("/v1/rerank", {"model": "labels", "query": "a", "documents": ["a"]}, 422, "detail"),
        ("/v2/rerank", {"model": "nothing", "query": "a", "documents": ["a"]}, 404, "message"),
        ("/v2/rerank", {"model": "ranking", "query": "a", "documents": ["a"] * 300}, 422, "message"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_errors_are_in_the_shape_of_the_route(
    http: httpx.Client, path: str, fields: dict[str, Any], status: int, error: str
) -> None:
    """``error`` is the kind, or the field that the sentence is in."""
    reply = http.post(path, json=fields)
    assert reply.status_code == status, reply.text
    answer = reply.json()
    assert answer.get("error_type") == error or answer[error]


def test_they_are_served_by_workers_elsewhere(redis: Redis, tmp_path: Path) -> None:
    fakes = {"ranking": ("text-ranking", "acme/ranking"), "meaning": ("feature-extraction", "acme/meaning")}
    env = processes.FAKE | catalog(tmp_path / "fakes.toml", {**fakes})
    with processes.worker(redis, env), processes.web(redis, env) as server, client(server) as http:
        answer = ask(http, "/v2/rerank", model="acme/ranking", query=QUERY, documents=TEXTS)
        assert {each["index"] for each in answer["results"]} == {0, 1, 2}
        assert ask(http, "/pipelines/meaning/embed", inputs=TEXTS) == [[1, 0, 0]] * 3
        [packed] = ask(http, "/v1/embeddings", model="meaning", input="a", encoding_format="base64")["data"]
        assert base64.b64decode(packed["embedding"]) == struct.pack("<3f", 1, 0, 0)
        assert http.get("/v2/rerank").json()["message"].startswith("GET is not allowed here")
