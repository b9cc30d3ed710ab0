"""Labels are those of the stock pipeline, whoever shares a batch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import BatchedPipeline
from tests import tiny_media_models as tiny
from tests.backends.transformers.pictures import check_batch, picture, pictures, shown, stored
from tests.backends.transformers.running import Asked, Make, assert_equal, direct, load, run

NAME = "image-classification"
PARAMETERS: list[dict[str, Any]] = [
    {},
    {"top_k": 1},
    {"top_k": 1000},
    {"function_to_apply": "sigmoid"},
    {"function_to_apply": "softmax", "top_k": 2},
    {"function_to_apply": "none"},
]


@pytest.fixture(scope="module")
def folder(folder_of: Callable[[Make], Path]) -> Path:
    return folder_of(tiny.image_classification)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> BatchedPipeline:
    return load(folder)


def test_together_or_alone_it_answers_what_the_stock_pipeline_answers(folder: Path, pipeline: BatchedPipeline) -> None:
    stock = direct(folder, NAME)
    given = pictures(12)
    asked: list[Asked] = [(data, PARAMETERS[n % len(PARAMETERS)]) for n, data in enumerate(given)]

    answers = check_batch(pipeline, asked, lambda data, parameters: stock(shown(data), **parameters))

    assert pipeline.description.task == NAME
    assert [len(answer) for answer in answers[:3]] == [3, 1, 3]
    assert len({str(answer) for answer in answers}) == len(answers)


def test_images_of_one_size_for_the_model_share_a_forward_pass(
    pipeline: BatchedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Asked] = [(picture(seed, (20 + seed, 60 - seed)), {}) for seed in range(9)]
    batches = counted(pipeline, monkeypatch)
    together = run(pipeline, asked)
    assert batches == [9]

    monkeypatch.setattr(type(pipeline), "most_in_pass", 13)  # an image of this model has a size of 3
    assert_equal(run(pipeline, asked), together)
    assert batches == [9, 4, 4, 1]
    monkeypatch.setattr(type(pipeline), "most_in_pass", 1)
    assert_equal(run(pipeline, asked[:2]), together[:2])
    assert batches[4:] == [1, 1]


def counted(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images in each forward pass from now on."""
    batches: list[int] = []
    forward = pipeline._model.forward

    def count(**tensors: Any) -> Any:
        batches.append(len(tensors["pixel_values"]))
        return forward(**tensors)

    monkeypatch.setattr(pipeline._model, "forward", count)
    return batches


def test_scores_of_several_labels_are_each_for_itself_where_the_model_was_trained_so(tmp_path: Path) -> None:
    folder = tiny.image_classification(tmp_path / "model", problem_type="multi_label_classification")
    stock = direct(folder, NAME)
    [answer] = check_batch(load(folder), [(picture(), {})], lambda data, _: stock(shown(data)))
    assert sum(label["score"] for label in answer) != pytest.approx(1, abs=0.01)


def test_an_image_is_seen_as_a_viewer_shows_it(pipeline: BatchedPipeline) -> None:
    """Upright, and transparent parts are white."""
    from PIL import Image  # noqa: PLC0415

    upright = shown(picture(size=(30, 30)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    turned = stored(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    white = stored(Image.new("RGB", (30, 30), "white"))
    clear = stored(Image.new("RGBA", (30, 30), (0, 0, 0, 0)))

    answers = run(pipeline, [(data, {}) for data in (stored(upright), turned, white, clear)])

    assert_equal(answers[1], answers[0])
    assert_equal(answers[3], answers[2])
    assert answers[0] != answers[2]
