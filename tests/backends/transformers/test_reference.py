"""Answers are those that transformers 4.57 and sentence-transformers gave, all cases of a model in one batch."""

from pathlib import Path
from typing import Any

import pytest

from tests import reference
from tests.backends.transformers.running import Asked, assert_equal, load, plain, run
from tests.reference import Case

TASKS = ("question-answering", "summarization", "text2text-generation", "translation")
NOT_TAKEN = ("num_return_sequences", "min_new_tokens")
"""Parameters of the old pipelines that are not served."""
T5_TRANSLATION = "translation_en_to_"


def of_models(task: str) -> dict[str, list[Case]]:
    """The cases that are served, by model."""
    found: dict[str, list[Case]] = {}
    for case in reference.cases(task):
        if not set(NOT_TAKEN) & case.parameters.keys():
            found.setdefault(case.model, []).append(case)
    return found


def asked(case: Case) -> Asked:
    """As it is asked here: truncation has a strategy, and the languages of T5's prefix are parameters."""
    parameters = dict(case.parameters)
    if parameters.pop("truncation", False):
        parameters["truncate"] = True
    if case.task.startswith(T5_TRANSLATION):
        parameters |= {"src_lang": "en", "tgt_lang": case.task.removeprefix(T5_TRANSLATION)}
    return case.input, parameters


@pytest.mark.parametrize(
    ("task", "model"), [(task, model) for task in TASKS for model in of_models(task)], ids=lambda value: str(value)
)
def test_answers_are_those_of_transformers_4(tmp_path: Path, task: str, model: str) -> None:
    cases = of_models(task)[model]
    pipeline = load(reference.build(model, tmp_path / "model"), task=task)
    for case, answer in zip(cases, run(pipeline, [asked(case) for case in cases]), strict=True):
        assert_equal(answer, wanted(case), f"{case.task} {case.parameters} {str(case.input)[:40]}")


def wanted(case: Case) -> Any:
    """Without the spans of score 0 that filled up a list. A list of one was an object, whatever ``top_k`` said."""
    answer = plain(case.answer)
    if case.parameters.get("top_k", 1) == 1 or case.task != "question-answering":
        return answer
    answers = answer if isinstance(answer, list) else [answer]
    return [each for each in answers if each["score"]]


PARAMETERS = {"truncate_dim": "dimensions", "normalize_embeddings": "normalize", "prompt_name": "prompt_name"}
"""Ours by those of sentence-transformers."""
ITS_OWN: dict[str, Any] = {"pooling": "model", "truncate": True}


@pytest.mark.parametrize("model", of_models("sentence-transformers"))
def test_embeddings_are_those_of_sentence_transformers(tmp_path: Path, model: str) -> None:
    """Of vectors that are cut, those of length 1: here they are scaled again where the checkpoint scales."""
    cases = [
        case
        for case in of_models("sentence-transformers")[model]
        if case.parameters.keys() <= PARAMETERS.keys()
        and ("truncate_dim" in case.parameters) == ("normalize_embeddings" in case.parameters)
    ]
    pipeline = load(reference.build(model, tmp_path / "model"), task="feature-extraction")
    requests = [
        (case.input, ITS_OWN | {PARAMETERS[name]: each for name, each in case.parameters.items()}) for case in cases
    ]
    for case, answer in zip(cases, run(pipeline, requests), strict=True):
        assert answer == pytest.approx(case.answer, abs=1e-4), f"{case.parameters} {case.input}"
