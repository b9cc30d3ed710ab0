"""Depths are those of the stock pipeline, as an image of the same size."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tiny_image_models as tiny
from tests.backends.transformers.pictures import BROKEN, decoded, difference, picture, shown
from tests.backends.transformers.running import Asked, Make, direct, load, run

NAME = "depth-estimation"


@pytest.mark.parametrize("make", [tiny.dpt, tiny.glpn])
def test_together_or_alone_it_answers_what_the_stock_pipeline_answers(
    folder_of: Callable[[Make], Path], make: Make
) -> None:
    folder = folder_of(make)
    stock, pipeline = direct(folder, NAME), load(folder)
    given = [picture(n, size) for n, size in enumerate([(40, 30), (64, 33), (40, 30), (32, 70)])]

    answers = run(pipeline, [(data, {}) for data in (*given[:2], BROKEN, *given[2:])])

    assert pipeline.description.task == NAME
    assert answers.pop(2).message.startswith("The image ")
    for data, answer in zip(given, answers, strict=True):
        expected = stock(shown(data))
        scale = expected["predicted_depth"].abs().max().item()
        assert answer["min_depth"] == pytest.approx(expected["predicted_depth"].min().item(), abs=1e-4 * scale)
        assert answer["max_depth"] == pytest.approx(expected["predicted_depth"].max().item(), abs=1e-4 * scale)
        assert decoded(answer["depth"]).size == shown(data).size
        assert difference(decoded(answer["depth"]), expected["depth"]) < 1
    assert difference(decoded(answers[0]["depth"]), decoded(answers[2]["depth"])) > 1
    assert run(pipeline, [(given[0], {})])[0]["max_depth"] == pytest.approx(answers[0]["max_depth"], rel=1e-4)


@pytest.mark.filterwarnings("error")
def test_an_image_of_one_depth_is_black(folder_of: Callable[[Make], Path]) -> None:
    """Where the pipeline divides by zero."""
    [answer, line] = run(load(folder_of(tiny.dpt)), [(picture(size=(1, 1)), {}), (picture(size=(40, 1)), {})])
    assert decoded(answer["depth"]).getextrema() == (0, 0)
    assert answer["min_depth"] == answer["max_depth"]
    assert decoded(line["depth"]).size == (40, 1)


def test_an_image_that_the_model_cannot_be_given_is_refused(folder_of: Callable[[Make], Path]) -> None:
    """Nothing would be left of one side."""
    good: Asked = (picture(), {})
    before, refused, after = run(load(folder_of(tiny.glpn)), [good, (picture(size=(40, 3)), {}), good])
    assert refused.message == (
        "The image has 40 × 3 pixels, which this model cannot be given; send a larger or less narrow one."
    )
    assert before == after
