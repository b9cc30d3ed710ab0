"""Tasks of encoders through a real server: one process with a pipeline of each."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.tasks import TASKS
from tests import processes
from tests.conftest import client
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

CONTEXT = "the old river runs under a stone bridge while small boats carry bread salt and letters to every quiet town"
LONG = " ".join([CONTEXT] * 10)


def models_of(folder: Path) -> dict[str, tuple[str, Path]]:
    """Task and checkpoint by pipeline."""
    from tests import tiny_models as models  # noqa: PLC0415 - imports torch

    ranking = models.bert(folder / "ranking", "BertForSequenceClassification", id2label={0: "relevance"})
    return {
        "labels": ("text-classification", models.text_classification(folder / "labels")),
        "ranking": ("text-ranking", models.poisoned(ranking)),
        "names": ("token-classification", models.token_classification(folder / "names")),
        "meaning": ("feature-extraction", models.feature_extraction(folder / "meaning")),
        "answers": ("question-answering", models.bert(folder / "answers", "BertForQuestionAnswering")),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("encoders")
    tables = [f'[{name}]\ntask = "{task}"\nmodel = "{model}"\n' for name, (task, model) in models_of(folder).items()]
    (folder / "pipelines.toml").write_text("\n".join(tables))
    with processes.web(env={"INFERENCE_PIPELINES": str(folder / "pipelines.toml")}) as server:
        server.wait_until_loaded()
        yield server


def ask(http: httpx.Client, name: str, inputs: Any, **parameters: Any) -> httpx.Response:
    return http.post(f"/pipelines/{name}", json={"inputs": inputs, "parameters": parameters})


# What each answers


def test_pairs_and_texts_have_labels(server: Web) -> None:
    pair = {"text": "the old river", "text_pair": "a stone bridge"}
    with client(server) as http:
        of_pair, of_text = ask(http, "labels", [pair, "the old river"], top_k=1).json()
        assert ask(http, "labels", pair, top_k=1).json() == [[pytest.approx(of_pair[0], abs=1e-5)]]
        cut = ask(http, "labels", {"text": LONG, "text_pair": LONG}, truncate=True)
    assert of_pair != of_text
    assert cut.status_code == 200


def test_texts_are_ranked(server: Web) -> None:
    asked = {"query": "where is the boat", "texts": ["in town", "on the river", "bread"]}
    with client(server) as http:
        ranking = ask(http, "ranking", asked, return_text=True).json()
        best = ask(http, "ranking", asked, top_n=1, raw_scores=True).json()
    assert [asked["texts"][each["index"]] for each in ranking] == [each["text"] for each in ranking]
    assert sorted(each["score"] for each in ranking) == [each["score"] for each in reversed(ranking)]
    assert [each["index"] for each in best] == [ranking[0]["index"]]


def test_questions_are_answered_from_contexts_of_any_length(server: Web) -> None:
    with client(server) as http:
        one = ask(http, "answers", {"question": "what runs", "context": LONG}).json()
        several = ask(http, "answers", {"question": "what runs", "context": LONG}, top_k=3).json()
    assert one["answer"] == LONG[one["start"] : one["end"]]
    assert several[0] == pytest.approx(one, abs=1e-5)
    assert len(several) == 3


def test_long_texts_are_read_in_windows_or_parts_where_that_is_asked_for(server: Web) -> None:
    with client(server) as http:
        names = ask(http, "names", LONG * 20, stride=8, aggregation_strategy="simple").json()
        vector = ask(http, "meaning", LONG * 20, pooling="mean", chunk=True, dimensions=8).json()
    assert max(name["end"] for name in names) > 2 * len(LONG)
    assert len(vector) == 8


def test_the_example_of_each_task_is_answered(server: Web) -> None:
    with client(server) as http:
        for name in ("ranking", "answers"):
            task = TASKS[http.get(f"/pipelines/{name}/info").json()["task"]]
            reply = ask(http, name, task.example, **task.example_parameters)
            assert reply.status_code == 200, reply.text


# What is wrong


@pytest.mark.parametrize(
    ("name", "inputs", "parameters", "status", "error"),
    [
        ("labels", {"text": "a", "text_pair": 1}, {}, 422, "The text_pair of the input is a number"),
        ("labels", [{"text": "a"}, "b"], {}, 422, 'inputs[0] is not like {"text": "a text", "text_pair"'),
        ("labels", LONG, {}, 422, "The input has 202 tokens; this model takes at most 48."),
        ("labels", LONG, {"truncate": "yes"}, 422, "Parameter truncate is 'yes'; it must be true or false."),
        ("ranking", "a text", {}, 422, "The input is a text; it must be an object such as"),
        ("ranking", {"query": "a", "texts": []}, {}, 400, "The input has no texts; send at least one."),
        ("ranking", {"query": "a", "texts": ["b", LONG]}, {}, 422, "texts[1] with the query has 204 tokens;"),
        (
            "names",
            LONG,
            {"stride": 8, "aggregation_strategy": "none"},
            422,
            "Parameter stride needs an aggregation_strategy other than none",
        ),
        ("meaning", LONG * 20, {}, 422, "The input has 21380 characters; this model takes 48 tokens"),
        (
            "meaning",
            LONG,
            {"chunk": True, "pooling": "none"},
            422,
            "Parameter chunk needs the pooling mean or model, and pooling is none.",
        ),
        ("meaning", "a boat", {"prompt_name": "query"}, 422, "This model has no prompts; leave prompt_name out."),
        ("answers", {"question": "who"}, {}, 422, "The input is not like"),
        ("answers", {"question": "who", "context": " "}, {}, 400, "The context of the input is empty; send a text."),
        ("answers", {"question": "who", "context": "a"}, {"max_seq_len": 512}, 422, "Parameter max_seq_len is 512"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_it_is_said(server: Web, name: str, inputs: Any, parameters: dict[str, Any], status: int, error: str) -> None:
    with client(server) as http:
        reply = ask(http, name, inputs, **parameters)
    assert reply.status_code == status, reply.text
    assert reply.json()["error"].startswith(error)


async def test_a_request_that_breaks_the_model_fails_alone(server: Web) -> None:
    """The model has no embedding of one word, so that the batch with it fails."""
    asked = [{"query": "a boat", "texts": ["on the river", text]} for text in ("in town", "a zebra", "bread", "salt")]
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        replies = await asyncio.gather(*(http.post("/pipelines/ranking", json={"inputs": each}) for each in asked))
    assert [reply.status_code for reply in replies] == [200, 500, 200, 200]
    assert replies[1].json()["error_type"] == "inference"
