"""Similarities are those of the model's mean-pooled token vectors, whoever shares a batch."""

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient

from inference.errors import Invalid
from inference.tasks import TASKS
from tests import processes
from tests.backends.transformers.running import Asked, Make, load, run
from tests.conftest import client
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

NAME = "sentence-similarity"
LIKE = '{"source_sentence": "a text", "sentences": ["a text", "another text"]}'
TOO_LONG = "stone " * 100


def compare(source: Any, *others: Any) -> dict[str, Any]:
    return {"source_sentence": source, "sentences": list(others)}


class Reference:
    """One sentence after the other through the bare model."""

    def __init__(self, folder: Path) -> None:
        import transformers  # noqa: PLC0415

        self._model = transformers.AutoModel.from_pretrained(folder).eval()
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def similarities(self, asked: dict[str, Any]) -> list[float]:
        import torch  # noqa: PLC0415

        source = self._vector(asked["source_sentence"])
        vectors = [self._vector(sentence) for sentence in asked["sentences"]]
        return [torch.cosine_similarity(source, vector, dim=0).item() for vector in vectors]

    def _vector(self, sentence: str) -> Any:
        import torch  # noqa: PLC0415

        with torch.inference_mode():
            return self._model(**self._tokenizer(sentence, return_tensors="pt")).last_hidden_state[0].mean(0)


def batch(make_texts: Callable[..., list[str]]) -> list[dict[str, Any]]:
    """Of mixed lengths, with one to six sentences to compare."""
    texts = iter([text.replace("[MASK]", "stone") for text in make_texts(60, 1, 20)])
    return [compare(next(texts), *(next(texts) for _ in range(1 + number % 6))) for number in range(12)]


MODELS: dict[str, Callable[[Any, Path], Path]] = {
    "an embedding model": lambda models, folder: models.feature_extraction(folder),
    "a masked language model": lambda models, folder: models.fill_mask(folder),
    "one that cannot pad": lambda models, folder: models.gpt2(folder, "GPT2Model", n_positions=400),
}


@pytest.mark.parametrize("name", MODELS)
def test_together_or_alone_it_is_the_similarity_of_the_models_vectors(
    models: Any, tmp_path: Path, make_texts: Callable[..., list[str]], name: str
) -> None:
    folder = MODELS[name](models, tmp_path / "model")
    reference, pipeline = Reference(folder), load(folder, task=NAME)
    asked: list[Asked] = [(each, {}) for each in batch(make_texts)]

    together = run(pipeline, asked)

    assert pipeline.description.task == NAME
    for one, answer in zip(asked, together, strict=True):
        assert answer == pytest.approx(reference.similarities(one[0]), abs=1e-4)
        assert answer == pytest.approx(run(pipeline, [one])[0], abs=1e-5)


def test_the_same_sentence_is_as_similar_as_can_be(models: Any, folder_of: Callable[[Make], Path]) -> None:
    pipeline = load(folder_of(models.feature_extraction), task=NAME)
    [(same, other)] = run(pipeline, [(compare("the old river", "the old river", "bread"), {})])
    assert same == pytest.approx(1)
    assert -1 <= other < 0.999


def test_a_sentence_that_is_too_long_has_its_own_error(models: Any, folder_of: Callable[[Make], Path]) -> None:
    pipeline = load(folder_of(models.feature_extraction), task=NAME)
    good = compare("a boat", "a town")
    before, source, other, after = run(
        pipeline, [(each, {}) for each in (good, compare(TOO_LONG, "a"), compare("a", "b", TOO_LONG), good)]
    )
    assert isinstance(source, Invalid)
    assert source.message == "The source_sentence has 102 tokens; this model takes at most 48."
    assert isinstance(other, Invalid)
    assert other.message == "sentences[1] has 102 tokens; this model takes at most 48."
    assert before == after == pytest.approx(run(pipeline, [(good, {})])[0], abs=1e-5)


# Through a real server


@pytest.fixture(scope="module")
def served(models: Any, folder_of: Callable[[Make], Path]) -> Iterator[Web]:
    env = {"INFERENCE_MODEL": str(folder_of(models.feature_extraction)), "INFERENCE_TASK": NAME}
    with processes.web(env=env) as server:
        yield server


def test_it_is_served(served: Web, models: Any, folder_of: Callable[[Make], Path]) -> None:
    asked = compare("the old river", "a boat on the river", "bread and salt")
    reference = Reference(folder_of(models.feature_extraction))
    with client(served) as http:
        one = http.post("/", json={"inputs": asked})
        several = http.post("/", json={"inputs": [asked, compare("bread", "salt")]}).json()

    assert one.status_code == 200
    assert one.json() == pytest.approx(reference.similarities(asked), abs=1e-4)
    assert several[0] == pytest.approx(one.json(), abs=1e-5)
    assert len(several[1]) == 1


def test_hugging_faces_own_client_reads_it(served: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    stock = InferenceClient(model=served.url)
    same, other = stock.sentence_similarity("the old river", other_sentences=["the old river", "bread"])
    assert same == pytest.approx(1)
    assert other < same


@pytest.mark.parametrize(
    ("inputs", "status", "error"),
    [
        ("a text", 422, f"The input is a text; it must be an object such as {LIKE}."),
        ({"source_sentence": "a"}, 422, f"The input is not like {LIKE}; send just these fields."),
        (compare("a"), 400, "The input has no sentences; send at least one."),
        (compare("a", "b", 1), 422, "sentences[1] of the input is a number; it must be a text."),
        ([compare("a", "b"), compare("", "b")], 400, "The source_sentence of inputs[1] is empty; send a text."),
        (compare("a", TOO_LONG), 422, "sentences[0] has 102 tokens; this model takes at most 48."),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(served: Web, inputs: Any, status: int, error: str) -> None:
    with client(served) as http:
        reply = http.post("/", json={"inputs": inputs})
    assert (reply.status_code, reply.json()["error"]) == (status, error)


def test_the_front_page_shows_a_request_that_works(served: Web) -> None:
    with client(served) as http:
        page = html.unescape(http.get("/").text)
        shown = re.findall(r"-d '(.*?)'</pre>", page, re.DOTALL)
        assert [json.loads(each)["inputs"] for each in shown] == [[TASKS[NAME].example]]
        assert len(http.post("/", json=json.loads(shown[0])).json()[0]) == 2
    assert 'curl -X POST -d "' not in page, "a text alone is no input"


def test_an_input_with_more_rows_than_fit_into_a_batch_runs_in_parts(
    tmp_path: Path, models: Any, make_texts: Callable[..., list[str]]
):
    """As many rows as one batch may have tokens for, whatever one input asks for."""
    folder = models.feature_extraction(tmp_path / "model")
    [asked] = [compare(*[text.replace("[MASK]", "stone") for text in make_texts(20, 3, 12)])]
    whole, parts = (run(load(folder, task=NAME, max_batch_tokens=most), [(asked, {})]) for most in (16_384, 40))
    assert whole[0] == pytest.approx(parts[0], abs=1e-5)
