"""Masks are those of the stock pipeline, whoever shares a batch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import BatchedPipeline
from inference.backends.transformers import image_segmentation
from inference.errors import Invalid
from tests import tiny_image_models as tiny
from tests.backends.transformers.pictures import BROKEN, decoded, difference, picture, pictures, shown
from tests.backends.transformers.running import Make, direct, load, run

NAME = "image-segmentation"
ALL = {"threshold": 0.0, "mask_threshold": 0.0, "overlap_mask_area_threshold": 0.0}
THINGS: list[dict[str, Any]] = [
    ALL,
    {},
    {"threshold": 0.1, "mask_threshold": 0.3},
    {"subtask": "panoptic", "threshold": 0.1, "overlap_mask_area_threshold": 0.3},
    {"subtask": "instance"} | ALL,
    {"subtask": "semantic"},
]
LABELS: list[dict[str, Any]] = [{}, {"subtask": "semantic"}]


@pytest.fixture(scope="module")
def things(folder_of: Callable[[Make], Path]) -> BatchedPipeline:
    return load(folder_of(tiny.detr_with_masks))


@pytest.fixture(scope="module")
def labels(folder_of: Callable[[Make], Path]) -> BatchedPipeline:
    return load(folder_of(tiny.segformer))


@pytest.mark.parametrize(
    ("name", "make", "parameters"), [("things", tiny.detr_with_masks, THINGS), ("labels", tiny.segformer, LABELS)]
)
def test_together_or_alone_it_answers_what_the_stock_pipeline_answers(
    request: pytest.FixtureRequest,
    folder_of: Callable[[Make], Path],
    name: str,
    make: Make,
    parameters: list[dict[str, Any]],
) -> None:
    stock, pipeline = direct(folder_of(make), NAME), request.getfixturevalue(name)
    asked = [(data, parameters[n % len(parameters)]) for n, data in enumerate(pictures(2 * len(parameters) + 1))]

    answers = run(pipeline, [*asked[:2], (BROKEN, {}), *asked[2:]])

    assert pipeline.description.task == NAME
    assert answers.pop(2).message.startswith("The image ")
    for (data, given), answer in zip(asked, answers, strict=True):
        check_masks(answer, stock(shown(data), **given))
    assert len(answers[0]) >= 2
    check_masks(run(pipeline, asked[:1])[0], stock(shown(asked[0][0]), **asked[0][1]))


def check_masks(answer: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [segment["label"] for segment in answer] == [segment["label"] for segment in expected]
    for segment, wanted in zip(answer, expected, strict=True):
        assert segment.get("score") == pytest.approx(wanted["score"], abs=1e-4)
        assert ("score" in segment) == (wanted["score"] is not None), "no score rather than null"
        assert difference(decoded(segment["mask"]), wanted["mask"]) < 2.6, "of a hundred pixels one may be on an edge"


def test_what_a_model_cannot_do_is_refused(labels: BatchedPipeline) -> None:
    refused, answer = run(labels, [(picture(), {"subtask": "panoptic"}), (picture(), {"subtask": "semantic"})])
    assert isinstance(refused, Invalid)
    assert refused.message == f"Parameter subtask is 'panoptic'; {labels.description.model} can do semantic."
    assert answer


def test_what_would_take_too_much_memory_is_refused(
    things: BatchedPipeline, labels: BatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = picture(size=(40, 30))
    monkeypatch.setattr(image_segmentation, "MOST_NUMBERS", 3 * 40 * 30)
    few, many = run(things, [(given, {"threshold": 1}), (given, ALL)])
    assert few == []
    assert isinstance(many, Invalid)
    assert many.message == (
        "The image has 40 × 30 pixels and 6 masks, 3,600 pixels of masks are allowed; "
        "send a smaller image, or a higher threshold."
    )
    assert isinstance(run(labels, [(given, {})])[0], list), "labels are looked at a few at a time"

    monkeypatch.setattr(image_segmentation, "MOST_PIXELS", 40 * 30 - 1)
    for pipeline in (things, labels):
        [refused] = run(pipeline, [(given, {})])
        assert isinstance(refused, Invalid)
        assert refused.message == (
            "The image has 40 × 30 pixels; 1,199 in all are allowed here, where each mask has as many, "
            "so send a smaller one."
        )


def test_no_warning_is_logged_for_a_request(things: BatchedPipeline, caplog: pytest.LogCaptureFixture) -> None:
    run(things, [(picture(), ALL)])
    assert not caplog.records
