"""Texts are those that transformers 4.57 generated."""

import base64
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import BatchedPipeline, LoadFailed
from inference.errors import Invalid
from inference.messaging.messages import Job
from inference.tasks import TASKS
from tests import reference, tiny_media_models
from tests.backends.transformers.pictures import check_batch, is_opaque, picture
from tests.backends.transformers.running import Asked, load, run

NAME = "image-to-text"
CASES = [
    case
    for case in reference.cases(NAME)
    if case.parameters.keys() <= TASKS[NAME].parameters.keys() and is_opaque(case.input)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reference.build(CASES[0].model, tmp_path_factory.mktemp("models") / "captions")


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> BatchedPipeline:
    return load(folder)


@pytest.mark.parametrize("parameters", [{}, {"max_new_tokens": 5}], ids=str)
def test_together_or_alone_it_answers_what_transformers_4_answered(
    pipeline: BatchedPipeline, parameters: dict[str, int]
) -> None:
    known = {base64.b64decode(case.input): case.answer for case in CASES if case.parameters == parameters}
    asked: list[Asked] = [(data, parameters) for data in known]
    check_batch(pipeline, asked, lambda data, _: known[data])
    assert pipeline.description.task == NAME
    assert len(known) >= (5 if not parameters else 1)


def test_images_share_each_step(pipeline: BatchedPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    decoder: Any = pipeline._model.decoder  # type: ignore[attr-defined]
    forward = decoder.forward

    def counted(**given: Any) -> Any:
        batches.append(len(given["input_ids"]))
        return forward(**given)

    monkeypatch.setattr(decoder, "forward", counted)
    run(pipeline, [(picture(n), {"max_new_tokens": 6}) for n in range(5)])
    assert set(batches) == {5}
    assert 1 < len(batches) <= 6


def test_jobs_that_differ_in_length_never_share_a_batch() -> None:
    task = TASKS[NAME]
    assert task.batch_key({"max_new_tokens": 5}) != task.batch_key({"max_new_tokens": 6}) != task.batch_key({})


def test_a_longer_text_counts_as_more_work(pipeline: BatchedPipeline) -> None:
    items: Any = pipeline.prepare([job({"max_new_tokens": most} if most else {}) for most in (5, 40, 0)])
    sizes = [item.tokens for item in items]
    assert sizes[2] == 14 == sizes[0] + 9 == sizes[1] - 26, "14 is what the model's own configuration says"


def test_a_text_that_nobody_waits_for_ends(pipeline: BatchedPipeline) -> None:
    items: Any = pipeline.prepare([job({}), job({})])
    items[0].stop()
    stopped, goes_on = map(str, pipeline.run(items))
    assert len(stopped) < len(goes_on)


def job(parameters: dict[str, int]) -> Job:
    return Job(id=0, request_id="a", input=picture(), parameters=parameters, time_left_s=60)


def test_a_text_that_the_model_has_no_room_for_is_refused(pipeline: BatchedPipeline) -> None:
    good: Asked = (picture(), {})
    before, refused, after = run(pipeline, [good, (picture(), {"max_new_tokens": 47}), good])
    assert isinstance(refused, Invalid)
    assert refused.message == "Parameter max_new_tokens is 47; this model writes at most 46."
    assert before == after
    [longest] = run(pipeline, [(picture(), {"max_new_tokens": 46})])
    assert longest[0]["generated_text"]


def test_models_that_need_a_prompt_are_not_served(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="is of type vit; image-to-text is served for vision-encoder-decoder, blip"):
        load(tiny_media_models.image_classification(tmp_path / "model"), task=NAME)
