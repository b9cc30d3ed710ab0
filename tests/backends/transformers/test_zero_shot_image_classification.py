"""Scores of labels are those of the stock pipeline, whatever labels the others of a batch have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import BatchedPipeline, LoadFailed
from inference.backends.transformers import zero_shot_image_classification
from inference.errors import Invalid
from tests import tiny_image_models as tiny
from tests import tiny_media_models
from tests.backends.transformers.pictures import check_batch, picture, pictures, shown
from tests.backends.transformers.running import Asked, Make, direct, load, run

NAME = "zero-shot-image-classification"
PARAMETERS: list[dict[str, Any]] = [
    {"candidate_labels": ["a boat", "a river", "an old town in the north"]},
    {"candidate_labels": ["a river", "a boat"]},
    {"candidate_labels": ["a boat", "a river", "an old town in the north"], "hypothesis_template": "{}"},
    {"candidate_labels": ["bread"]},
]
TOO_LONG = "A label with the hypothesis_template around it has 68 tokens; this model takes at most 48."


@pytest.mark.parametrize("make", [tiny.clip, tiny.siglip])
def test_together_or_alone_it_answers_what_the_stock_pipeline_answers(
    folder_of: Callable[[Make], Path], make: Make
) -> None:
    folder = folder_of(make)
    stock, pipeline = direct(folder, NAME), load(folder)
    asked: list[Asked] = [(data, PARAMETERS[n % len(PARAMETERS)]) for n, data in enumerate(pictures(10))]

    answers = check_batch(pipeline, asked, lambda data, parameters: stock(shown(data), **parameters))

    assert pipeline.description.task == NAME
    assert len({str(answer) for answer in answers}) >= 8, "one label alone has the score 1 whatever the image"


def test_sentences_are_encoded_once(folder_of: Callable[[Make], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zero_shot_image_classification, "MOST_KNOWN", 2)
    pipeline: Any = load(folder_of(tiny.clip))
    encoded: list[int] = []
    encode = pipeline._model.get_text_features

    def counted(**texts: Any) -> Any:
        encoded.append(len(texts["input_ids"]))
        return encode(**texts)

    monkeypatch.setattr(pipeline._model, "get_text_features", counted)
    first, second, third = ({"candidate_labels": ["a"] * number} for number in (1, 2, 3))

    run(pipeline, [(picture(n), first) for n in range(4)])
    run(pipeline, [(picture(n), asked) for n, asked in enumerate((first, second, first))])
    assert encoded == [1, 2]
    run(pipeline, [(picture(), third), (picture(), first), (picture(), second)])
    assert encoded == [1, 2, 3, 2], "the set that was used last is kept"


def test_what_is_not_known_yet_counts_as_work(folder_of: Callable[[Make], Path]) -> None:
    pipeline: BatchedPipeline = load(folder_of(tiny.clip))
    few, many = ({"candidate_labels": [f"label {n}" for n in range(number)]} for number in (2, 60))
    sizes = [sizes_of(pipeline, parameters) for parameters in (few, many)]
    run(pipeline, [(picture(), many)])
    assert sizes[1] > 10 * sizes[0]
    assert sizes_of(pipeline, many) < sizes[0]


def sizes_of(pipeline: BatchedPipeline, parameters: dict[str, Any]) -> int:
    from inference.messaging.messages import Job  # noqa: PLC0415

    [item] = pipeline.prepare([Job(id=0, request_id="a", input=picture(), parameters=parameters, time_left_s=60)])
    return int(item.tokens)  # type: ignore[union-attr]


def test_a_sentence_that_is_too_long_is_refused(folder_of: Callable[[Make], Path]) -> None:
    pipeline = load(folder_of(tiny.clip))
    good = (picture(), PARAMETERS[0])
    before, refused, after = run(pipeline, [good, (picture(), {"candidate_labels": ["stone " * 60]}), good])
    assert isinstance(refused, Invalid)
    assert refused.message == TOO_LONG
    assert before == after


def test_models_that_score_in_another_way_are_not_served(folder_of: Callable[[Make], Path]) -> None:
    with pytest.raises(LoadFailed, match="is of type vit; zero-shot-image-classification is served for clip, siglip"):
        load(folder_of(tiny_media_models.image_classification), task=NAME)
