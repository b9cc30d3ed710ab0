"""Things and their boxes are those of the stock pipeline, whoever shares a batch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_image_models as tiny
from tests.backends.transformers.pictures import check_batch, pictures, shown
from tests.backends.transformers.running import Asked, Make, direct, load

NAME = "object-detection"
PARAMETERS: list[dict[str, Any]] = [{"threshold": 0.05}, {"threshold": 0.4}, {"threshold": 0}, {}, {"threshold": 1}]


@pytest.mark.parametrize("make", [tiny.detr, tiny.yolos])
def test_together_or_alone_it_answers_what_the_stock_pipeline_answers(
    folder_of: Callable[[Make], Path], make: Make
) -> None:
    folder = folder_of(make)
    stock, pipeline = direct(folder, NAME), load(folder)
    given = pictures(11)
    asked: list[Asked] = [(data, PARAMETERS[n % len(PARAMETERS)]) for n, data in enumerate(given)]

    answers = check_batch(pipeline, asked, lambda data, parameters: stock(shown(data), **parameters))

    assert pipeline.description.task == NAME
    assert len(answers[2]) >= 5, "all that the model can tell"
    assert answers[4] == []
    assert {type(side) for side in answers[0][0]["box"].values()} == {int}
