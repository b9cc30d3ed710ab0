"""Answers are those of the pipeline that transformers 4.57 had, whichever windows share a batch.

``recorded_question_answering.json`` has what ``pipeline("question-answering")`` of transformers 4.57.6 answered with
the same tiny model, one input after the other; its context comes first where the tokenizer pads on the left.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.backends.base import BatchedPipeline, LoadFailed
from inference.backends.transformers.answer_spans import best_spans
from inference.errors import EmptyInput, Invalid
from inference.tasks import TASKS
from inference.tasks.inputs import QuestionInput
from tests.backends.transformers.running import Asked, assert_equal, counts, load, run
from tests.serving.test_validation import describe
from tests.tasks.test_inputs import LONG, refusal

RECORDED = json.loads(Path(__file__).with_name("recorded_question_answering.json").read_text())
CONTEXT = "the old river runs under a stone bridge while small boats carry bread salt and letters to every quiet town"
QUESTION = '{"question": "a text", "context": "a text"}'


def question(asked: Any = "what runs", context: Any = CONTEXT) -> dict[str, Any]:
    return {"question": asked, "context": context}


@pytest.fixture(scope="module")
def folder(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = models.bert(tmp_path_factory.mktemp("questions") / "model", "BertForQuestionAnswering")
    return folder


@pytest.fixture(scope="module")
def left(folder: Path) -> Path:
    """The same with a tokenizer that pads on the left."""
    other = folder.with_name("left")
    shutil.copytree(folder, other)
    settings = other / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"padding_side": "left"}))
    return other


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> BatchedPipeline:
    return load(folder)


@pytest.mark.parametrize("side", ["right", "left"])
def test_answers_of_one_batch_are_those_that_transformers_4_gave_one_by_one(
    side: str, pipeline: BatchedPipeline, left: Path
) -> None:
    cases = [case for case in RECORDED if case["padding_side"] == side]
    served = pipeline if side == "right" else load(left)

    answers = run(served, [(case["input"], case["parameters"]) for case in cases])

    assert served.description.task == "question-answering", "the checkpoint says what it is for"
    assert len(cases) >= 9
    for answer, case in zip(answers, cases, strict=True):
        assert_equal(answer, case["answer"], str(case["parameters"]))


def test_windows_of_one_input_run_in_parts_where_a_batch_is_small(folder: Path, pipeline: BatchedPipeline) -> None:
    asked: list[Asked] = [(question(context=" ".join([CONTEXT] * 10)), {"top_k": 3}), (question(), {})]
    small = load(folder, max_batch_tokens=60)
    for part, whole in zip(run(small, asked), run(pipeline, asked), strict=True):
        assert_equal(part, whole)


def test_tokens_of_all_windows_count(pipeline: BatchedPipeline) -> None:
    """The question is in each of them: of 48 tokens, 43 are left for the context, 10 of them from the one before."""
    asked: list[Asked] = [(question(), {}), (question(context="stone " * 100), {"doc_stride": 10})]
    assert counts(pipeline, asked) == [(2 + 20 + 3, False), (100 + 2 * 10 + 3 * 5, False)]


def test_an_answer_says_where_in_the_whole_context_it_is(pipeline: BatchedPipeline) -> None:
    """Whichever window it is from, and whole words of it."""
    context = " ".join([CONTEXT] * 5 + ["Antidisestablishmentarianism"] * 5)
    answers = run(pipeline, [(question(context=context), {"top_k": 50, "doc_stride": 10})])[0]
    assert len(answers) == 50
    assert max(answer["start"] for answer in answers) > len(CONTEXT)
    for answer in answers:
        assert answer["answer"] == context[answer["start"] : answer["end"]]
        assert {*answer["answer"].split()} <= {*context.split()}


def test_one_answer_is_no_list_and_several_are(pipeline: BatchedPipeline) -> None:
    short = question(context="river")
    one, several, few = run(pipeline, [(question(), {"top_k": 1}), (question(), {"top_k": 2}), (short, {"top_k": 5})])
    assert one.keys() == {"score", "start", "end", "answer"}
    assert_equal(several[0], one)
    assert [answer["answer"] for answer in few] == ["river"], "there is no more to answer"


def test_a_context_of_no_word_has_no_answer(pipeline: BatchedPipeline) -> None:
    [answer] = run(pipeline, [(question(context="\u200b\u200d"), {})])
    assert (answer["start"], answer["end"], answer["answer"]) == (0, 0, "")


@pytest.mark.parametrize(
    ("asked", "parameters", "sentence"),
    [
        (question(), {"max_seq_len": 100}, "Parameter max_seq_len is 100; this model takes at most 48."),
        (
            question("stone " * 46),
            {},
            "The question has 46 tokens; of 48 that are read at once it may have 44.",
        ),
        (
            question("stone " * 20, "stone " * 26),
            {"doc_stride": 25},
            "Parameter doc_stride is 25; the question leaves 25 of 48 tokens for the context, so it must be less.",
        ),
        (
            question(context="stone " * 12_000),
            {},
            "The input makes 631 windows of the model's length; it may make 256.",
        ),
        (
            question(context="stone " * 20_000),
            {"doc_stride": 42},
            "The input makes 19958 windows of the model's length; it may make 256.",
        ),
    ],
    ids=["window", "question", "overlap", "context", "a window for each token"],
)
def test_what_does_not_fit_has_an_error_of_its_own(
    pipeline: BatchedPipeline, asked: Any, parameters: dict[str, Any], sentence: str
) -> None:
    alone = run(pipeline, [(question(), {})])[0]
    before, bad, after = run(pipeline, [(question(), {}), (asked, parameters), (question(), {})])
    assert isinstance(bad, Invalid)
    assert bad.message == sentence
    assert_equal(before, alone)
    assert_equal(after, alone)


def test_an_overlap_that_a_short_context_does_not_need_is_no_error(pipeline: BatchedPipeline) -> None:
    some, none = run(pipeline, [(question(), {"doc_stride": 48}), (question(), {})])
    assert_equal(some, none)


def test_a_long_question_leaves_room_for_a_smaller_overlap(pipeline: BatchedPipeline) -> None:
    """The pipeline of transformers 4 failed on this."""
    [answer] = run(pipeline, [(question("stone " * 44, "river boats"), {})])
    assert answer["answer"] in ("river", "boats")


def test_a_tokenizer_that_does_not_know_its_places_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.is_fast", False)
    with pytest.raises(LoadFailed, match="choose a checkpoint with a tokenizer"):
        load(folder)


# Spans


def test_spans_by_the_product_of_their_probabilities() -> None:
    """By hand: all pairs of tokens that may be an answer."""
    chance = np.random.default_rng(1)
    starts, ends = (chance.normal(0, 3, 30).astype(np.float32) for _ in range(2))
    candidates = np.array([True] + [False] * 9 + [True] * 20)
    begin, end = (np.exp(each) * candidates for each in (starts, ends))
    begin, end = begin / begin.sum(), end / end.sum()
    wanted = sorted(((begin[i] * end[j], i, j) for i in range(10, 30) for j in range(i, min(i + 4, 30))), reverse=True)

    spans = best_spans(starts, ends, candidates, longest=4, most=12)

    assert [(first, last) for _, first, last in spans] == [(first, last) for _, first, last in wanted[:12]]
    assert spans.scores == pytest.approx([score for score, *_ in wanted[:12]], abs=1e-6)
    assert spans.none == pytest.approx(begin[0] * end[0], abs=1e-6)
    assert len(best_spans(starts, ends, candidates, longest=100, most=1000).scores) == 210, "20 * 21 / 2 are possible"


# Inputs


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("who", f"The input is a text; it must be an object such as {QUESTION}."),
        ({"question": "who"}, f"The input is not like {QUESTION}; send just these fields."),
        (question() | {"top_k": 1}, f"The input is not like {QUESTION}; send just these fields."),
        (question(None), "The question of the input is null; it must be a text."),
        (question(["who"]), "The question of the input is a list; it must be a text."),
        (question(" "), "The question of the input is empty; send a text."),
        (question("a" * 101), f"The question of the input has 101 characters; this model takes 10 tokens, {LONG}"),
        (question("who", 3), "The context of the input is a number; it must be a text."),
        (question("who", ""), "The context of the input is empty; send a text."),
        (
            question("who", "\ud800"),
            "The context of the input has half of a surrogate pair in it, which is no character; send whole ones.",
        ),
        (
            question("who", "a" * 1_000_001),
            "The context of the input has 1000001 characters; it may have 1000000.",
        ),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_what_is_wrong_with_a_question_is_said(value: Any, sentence: str) -> None:
    assert refusal(QuestionInput(), value) == sentence


def test_an_empty_context_is_empty() -> None:
    with pytest.raises(EmptyInput):
        QuestionInput().checked("The input", question("who", " "), describe())


def test_a_context_may_be_longer_than_the_model_takes() -> None:
    given = question("who", "a" * 5000)
    assert QuestionInput().checked("The input", given, describe()) == given
    assert TASKS["question-answering"].input.texts(given) == ["who", "a" * 5000]
