"""Two texts that are read together: their labels, and how well texts answer a query."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from inference.errors import Invalid
from tests.backends.transformers.running import Asked, Make, assert_equal, direct, load, plain, run

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
