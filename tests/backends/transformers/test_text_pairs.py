"""Two texts that are read together: their labels, and how well texts answer a query."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import LoadFailed
from inference.errors import Invalid
from tests.backends.transformers.running import Asked, Make, assert_equal, counts, direct, load, plain, run

LONG = "stone " * 100


def pair(text: str, other: str) -> dict[str, str]:
    return {"text": text, "text_pair": other}


def texts_of(make_texts: Callable[..., list[str]], number: int) -> list[str]:
    return [text.replace("[MASK]", "stone") for text in make_texts(number, 1, 15)]


# text-classification


@pytest.mark.parametrize("family", ["Bert", "Roberta", "GPT2"])
def test_labels_of_pairs_and_texts_in_one_batch_are_those_of_the_stock_pipeline(
    models: Any, folder_of: Callable[[Make], Path], tmp_path: Path, make_texts: Callable[..., list[str]], family: str
) -> None:
    labels = {"id2label": {0: "calm", 1: "glad", 2: "cross"}}
    folder = {
        "Bert": lambda: folder_of(models.text_classification),
        "Roberta": lambda: models.encoder(
            tmp_path / "model", "Roberta", "RobertaForSequenceClassification", type_vocab_size=2, **labels
        ),
        "GPT2": lambda: models.gpt2(tmp_path / "model", "GPT2ForSequenceClassification", n_positions=300, **labels),
    }[family]()
    texts = texts_of(make_texts, 24)
    inputs = [pair(text, other) if number % 3 else text for number, (text, other) in enumerate(pairwise(texts))]
    kinds: list[dict[str, Any]] = [{}, {"top_k": 2}, {"function_to_apply": "none"}, {"top_k": 1}]
    asked: list[Asked] = [(given, kinds[number % len(kinds)]) for number, given in enumerate(inputs)]
    stock = direct(folder, "text-classification")

    for answer, (given, parameters) in zip(run(load(folder), asked), asked, strict=True):
        assert_equal(answer, plain(stock(given, **parameters)), str(given))


def test_the_order_of_a_pair_matters(models: Any, folder_of: Callable[[Make], Path]) -> None:
    pipeline = load(folder_of(models.text_classification))
    one, other = run(pipeline, [(pair("a boat", "the river"), {}), (pair("the river", "a boat"), {})])
    assert one["score"] != pytest.approx(other["score"], abs=1e-3)


def test_a_pair_is_too_long_together(models: Any, folder_of: Callable[[Make], Path]) -> None:
    """With ``truncate``, as the stock pipeline cuts it: of the longer text first."""
    pipeline = load(folder_of(models.text_classification))
    stock = direct(folder_of(models.text_classification), "text-classification")
    long = pair("the old river runs " * 8, "a boat " * 20)
    good, bad, cut = run(pipeline, [(pair("a", "b"), {}), (long, {}), (long, {"truncate": True})])
    assert_equal(good, plain(stock(pair("a", "b"))))
    assert isinstance(bad, Invalid)
    assert bad.message == "The input has 75 tokens; this model takes at most 48."
    assert_equal(cut, plain(stock(long, truncation=True, max_length=48)))


# text-ranking


def ranking(query: str, *texts: str) -> dict[str, Any]:
    return {"query": query, "texts": list(texts)}


class Reference:
    """One pair after the other through the bare model."""

    def __init__(self, folder: Path) -> None:
        import transformers  # noqa: PLC0415

        self._model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def ranked(self, asked: dict[str, Any], *, raw: bool = False) -> list[dict[str, Any]]:
        scores = [self._score(asked["query"], text, raw=raw) for text in asked["texts"]]
        best = sorted(range(len(scores)), key=lambda index: -scores[index])
        return [{"index": index, "score": scores[index]} for index in best]

    def _score(self, query: str, text: str, *, raw: bool) -> float:
        import torch  # noqa: PLC0415

        with torch.inference_mode():
            [[score]] = self._model(**self._tokenizer(query, text, return_tensors="pt")).logits
        return float(score if raw else torch.sigmoid(score))


@pytest.fixture(scope="module")
def cross_encoder(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = models.text_ranking(tmp_path_factory.mktemp("ranking") / "model")
    return folder


def test_texts_are_ranked_by_what_the_bare_model_says(
    cross_encoder: Path, models: Any, tmp_path: Path, make_texts: Callable[..., list[str]]
) -> None:
    """Queries with one to seven texts in one batch; also of a model that cannot pad."""
    gpt2 = models.gpt2(tmp_path / "model", "GPT2ForSequenceClassification", n_positions=300, id2label={0: "relevance"})
    texts = iter(texts_of(make_texts, 60))
    asked = [ranking(next(texts), *(next(texts) for _ in range(1 + number % 7))) for number in range(10)]
    kinds: list[dict[str, Any]] = [{}, {"raw_scores": True}, {"raw_scores": False}]

    for folder in (cross_encoder, gpt2):
        reference = Reference(folder)
        pairs: list[Asked] = [(each, kinds[number % 3]) for number, each in enumerate(asked)]
        for answer, (given, parameters) in zip(run(load(folder, task="rerank"), pairs), pairs, strict=True):
            assert_equal(answer, reference.ranked(given, raw=parameters.get("raw_scores", False)), str(given))


def test_the_best_may_be_enough_and_have_their_texts(cross_encoder: Path) -> None:
    asked = ranking("where is the boat", "on the river", "in town", "bread and salt")
    best = Reference(cross_encoder).ranked(asked)
    pipeline = load(cross_encoder, task="text-ranking")
    top, more, texts = run(pipeline, [(asked, {"top_n": 2}), (asked, {"top_n": 9}), (asked, {"return_text": True})])
    assert_equal(top, best[:2])
    assert_equal(more, best)
    assert_equal(texts, [each | {"text": asked["texts"][each["index"]]} for each in best])


def test_tokens_of_each_text_with_the_query_count(cross_encoder: Path) -> None:
    whole, long = ranking("where", "in town", "stone " * 44), ranking("where", "in town", "stone " * 45)
    asked: list[Asked] = [(whole, {}), (whole, {"truncate": True}), (long, {"truncate": True})]
    assert counts(load(cross_encoder, task="text-ranking"), asked) == [(54, False), (54, False), (54, True)]


def test_a_text_that_is_too_long_has_its_own_error_or_is_cut(cross_encoder: Path) -> None:
    good, long = ranking("where", "on the river"), ranking("where", "in town", LONG)
    pipeline = load(cross_encoder, task="text-ranking")
    before, bad, cut, after = run(pipeline, [(good, {}), (long, {}), (long, {"truncate": True}), (good, {})])
    assert isinstance(bad, Invalid)
    assert bad.message == "texts[1] with the query has 104 tokens; this model takes at most 48."
    assert_equal(cut, Reference(cross_encoder).ranked(ranking("where", "in town", "stone " * 44)))
    assert_equal(before, after)


def test_a_model_with_several_labels_ranks_nothing(models: Any, folder_of: Callable[[Make], Path]) -> None:
    with pytest.raises(LoadFailed, match="has 3 labels; text-ranking needs a model with one"):
        load(folder_of(models.text_classification), task="text-ranking")
