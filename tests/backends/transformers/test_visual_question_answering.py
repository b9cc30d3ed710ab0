"""Answers are those that transformers 4.57 gave."""

import base64
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import BatchedPipeline, LoadFailed
from inference.errors import Invalid
from tests import reference, tiny_media_models
from tests.backends.transformers.pictures import check_batch, is_opaque
from tests.backends.transformers.running import Asked, assert_equal, counts, load, run

NAME = "visual-question-answering"
CASES = [case for case in reference.cases(NAME) if is_opaque(case.input["image"])]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> BatchedPipeline:
    return load(reference.build(CASES[0].model, tmp_path_factory.mktemp("models") / "vilt"))


def given(case: reference.Case) -> Any:
    return case.input | {"image": base64.b64decode(case.input["image"])}


def test_together_or_alone_it_answers_what_transformers_4_answered(pipeline: BatchedPipeline) -> None:
    asked: list[Asked] = [(given(case), case.parameters) for case in CASES]
    known = {
        (repr(question), repr(parameters)): case.answer
        for case, (question, parameters) in zip(CASES, asked, strict=True)
    }

    answers = check_batch(pipeline, asked, lambda question, parameters: known[repr(question), repr(parameters)])

    assert pipeline.description.task == NAME
    assert {len(answer) for answer in answers} == {1, 5}


def test_questions_of_all_lengths_share_a_forward_pass(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    image = given(CASES[1])["image"]
    asked: list[Asked] = [({"image": image, "question": "boat " * words}, {}) for words in (1, 5, 30, 2)]
    alone = [run(pipeline, [each])[0] for each in asked]
    assert counts(pipeline, asked) == [(3, False), (7, False), (32, False), (4, False)]
    batches: list[int] = []
    forward = pipeline._model.forward

    def counted(**tensors: Any) -> Any:
        batches.append(len(tensors["input_ids"]))
        return forward(**tensors)

    monkeypatch.setattr(pipeline._model, "forward", counted)

    together = run(pipeline, asked)

    assert batches == [4]
    for answer, expected in zip(together, alone, strict=True):
        assert [each["answer"] for each in answer] == [each["answer"] for each in expected]
        assert [each["score"] for each in answer] == pytest.approx([each["score"] for each in expected], abs=1e-5)


def test_a_question_that_is_too_long_is_refused(pipeline: BatchedPipeline) -> None:
    image = given(CASES[0])["image"]
    good: Asked = ({"image": image, "question": "A boat?"}, {})
    before, refused, after = run(pipeline, [good, ({"image": image, "question": "stone " * 100}, {}), good])
    assert isinstance(refused, Invalid)
    assert refused.message == "The question has 102 tokens; this model takes at most 48."
    assert_equal(before, after)


def test_models_that_answer_in_another_way_are_not_served(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="is of type vit; visual-question-answering is served for vilt"):
        load(tiny_media_models.image_classification(tmp_path / "model"), task=NAME)
