"""Answers are those of the stock pipeline, whoever shares a batch."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import BatchedPipeline, LoadFailed
from inference.errors import Invalid
from inference.tasks.parameters import WORD_BOXES
from tests import tiny_image_models as tiny
from tests import tiny_media_models
from tests.backends.transformers.running import Asked, Make, assert_equal, direct, load, plain, run
from tests.conftest import STORY

NAME = "document-question-answering"
PARAMETERS: list[dict[str, Any]] = [
    {},
    {"top_k": 4},
    {"top_k": 3, "max_answer_len": 2},
    {"handle_impossible_answer": True, "top_k": 2},
    {"max_seq_len": 24, "doc_stride": 4, "top_k": 3},
    {"doc_stride": 20},
]


def page(words: int, seed: int = 0) -> list[Any]:
    chance = random.Random(seed)
    made = []
    for word in chance.choices(STORY.split(), k=words):
        left, top = chance.randrange(900), chance.randrange(950)
        made.append([word, [left, top, left + chance.randrange(100), top + chance.randrange(50)]])
    return made


@pytest.fixture(scope="module")
def pipeline(folder_of: Callable[[Make], Path]) -> BatchedPipeline:
    return load(folder_of(tiny.layoutlm))


def test_together_or_alone_it_answers_what_the_stock_pipeline_answers(
    folder_of: Callable[[Make], Path], pipeline: BatchedPipeline
) -> None:
    """Pages of a few words, and of many that are read in windows."""
    stock = direct(folder_of(tiny.layoutlm), NAME)
    inputs = [
        {"question": "where do boats go?", "word_boxes": page(words, words)} for words in (3, 30, 12, 150, 90, 60, 1)
    ]
    asked: list[Asked] = [(given, PARAMETERS[n % len(PARAMETERS)]) for n, given in enumerate(inputs)]

    answers = run(pipeline, [*asked[:3], ({"question": "where?"}, {}), *asked[3:]])

    assert pipeline.description.task == NAME
    refused = answers.pop(3)
    assert isinstance(refused, Invalid)
    assert refused.message == f"The input has no word_boxes, and there is no OCR here; send {WORD_BOXES}."
    for (given, parameters), answer in zip(asked, answers, strict=True):
        expected = plain(stock(None, given["question"], word_boxes=given["word_boxes"], **parameters))
        assert_equal(answer, expected)
        assert_equal(run(pipeline, [(given, parameters)])[0], answer)
    assert [len(answer) for answer in answers[:3]] == [1, 4, 3]


def test_the_place_of_a_word_matters(pipeline: BatchedPipeline) -> None:
    here, there = page(12), [[word, [0, 0, 1000, 1000]] for word, _ in page(12)]
    first, second = run(pipeline, [({"question": "where?", "word_boxes": words}, {}) for words in (here, there)])
    assert first != second


def test_words_may_be_parameters(pipeline: BatchedPipeline) -> None:
    """As clients of the Hub send them."""
    words = page(12)
    inside, beside = run(
        pipeline, [({"question": "where?", "word_boxes": words}, {}), ({"question": "where?"}, {"word_boxes": words})]
    )
    assert_equal(inside, beside)


@pytest.mark.parametrize(
    ("question", "parameters", "message"),
    [
        ("stone " * 60, {}, "The question has 60 tokens, and the model reads 48 at once; shorten it."),
        ("where?", {"max_seq_len": 49}, "Parameter max_seq_len is 49; this model takes at most 48."),
        (
            "where?",
            {"max_seq_len": 12, "doc_stride": 7},
            "Parameter doc_stride is 7; the question leaves 7 of 12 tokens for the words, so it must be less.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    pipeline: BatchedPipeline, question: str, parameters: dict[str, Any], message: str
) -> None:
    good: Asked = ({"question": "where?", "word_boxes": page(8)}, {})
    before, refused, after = run(pipeline, [good, ({"question": question, "word_boxes": page(20)}, parameters), good])
    assert isinstance(refused, Invalid)
    assert refused.message == message
    assert_equal(before, after)


def test_models_that_read_the_image_are_not_served(folder_of: Callable[[Make], Path]) -> None:
    with pytest.raises(LoadFailed, match="is of type vit; document-question-answering is served for layoutlm"):
        load(folder_of(tiny_media_models.image_classification), task=NAME)
