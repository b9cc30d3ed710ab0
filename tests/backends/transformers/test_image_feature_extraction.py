"""Vectors of images are those of the stock pipeline."""

from collections.abc import Callable
from pathlib import Path

from inference.errors import Invalid
from tests import tiny_image_models as tiny
from tests import tiny_media_models
from tests.backends.transformers.pictures import check_batch, picture, pictures, shown
from tests.backends.transformers.running import Asked, Make, arrays, direct, load, run

NAME = "image-feature-extraction"


def test_together_or_alone_it_answers_what_the_stock_pipeline_answers(folder_of: Callable[[Make], Path]) -> None:
    folder = folder_of(tiny.feature_extraction)
    stock, pipeline = direct(folder, NAME), load(folder)
    asked: list[Asked] = [(data, {"pool": True} if n % 3 == 1 else {}) for n, data in enumerate(pictures(8))]

    answers = check_batch(pipeline, asked, lambda data, parameters: stock(shown(data), **parameters))

    assert pipeline.description.task == NAME
    assert (len(answers[0]), len(answers[0][0]), len(answers[0][0][0])) == (1, 17, 24)
    assert (len(answers[1]), len(answers[1][0])) == (1, 24)
    made = arrays(pipeline, asked)
    assert [array.shape for array in made[:2]] == [(1, 17, 24), (1, 24)]
    for array, vectors in zip(made, run(pipeline, asked), strict=True):
        assert array.tolist() == vectors


def test_a_vector_that_the_model_was_not_trained_for_is_refused(folder_of: Callable[[Make], Path]) -> None:
    """The weights of a classifier have no pooler, and transformers would make one of random numbers."""
    pipeline = load(folder_of(tiny_media_models.image_classification), task=NAME)
    refused, vectors = run(pipeline, [(picture(), {"pool": True}), (picture(), {})])
    assert isinstance(refused, Invalid)
    assert refused.message.endswith("has no vector for the whole image; leave pool out.")
    assert len(vectors[0]) == 17
