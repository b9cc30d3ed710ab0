"""Answers to questions about a state: those of the stock pipeline, from batches of prompts."""

from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import LoadFailed
from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs import DecisionInput
from tests.backends.transformers.running import assert_equal, direct, load, plain, run
from tests.serving.test_validation import describe

NOUL = {"type": "noul", "instructions": "Is a refund requested?"}
CHOICE = {
    "type": "choice",
    "instructions": "What is the tone?",
    "criteria": {"calm": "polite", "angry": None, "sad": None},
}
SCORE = {"type": "score", "instructions": "How urgent is it?", "criteria": ["can wait", "this week", "today"]}


@pytest.fixture(scope="module")
def folder(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = models.deciding(tmp_path_factory.mktemp("decision"))
    return made


def asked(*states: Any, **questions: Any) -> list[tuple[Any, dict[str, Any]]]:
    return [({"state": state, "questions": questions}, {}) for state in states]


def test_answers_are_those_of_the_stock_pipeline(folder: Path) -> None:
    """Of 40 prompts of different lengths; one that cannot be answered harms no other."""
    requests = [
        *asked("I was charged twice.", {"message": "WIN", "from": ["nobody", 7]}, refund=NOUL, tone=CHOICE),
        *asked("The parcel has not come. " * 9, "", None, tone=CHOICE, urgency=SCORE, refund=NOUL),
        *asked("Any", tone={"type": "choice", "criteria": {str(n): None for n in range(27)}}),
        *asked(*(f"The river has {'many ' * n} boats." for n in range(27)), urgency=SCORE),
    ]
    answers = run(load(folder, task="decision"), requests)
    stock = direct(folder, "decision")
    for answer, (request, _) in zip(answers, requests, strict=True):
        if len(request["questions"].get("tone", {}).get("criteria", ())) == 27:
            assert isinstance(answer, Invalid)
            assert answer.message.startswith("Question 'tone': this model reads at most 26 options")
        else:
            assert_equal(answer, plain(stock(request)), str(request))


def test_what_is_too_long_for_the_model_is_refused(folder: Path) -> None:
    [answer] = run(load(folder, task="decision"), asked("river " * 2000, refund=NOUL))
    assert isinstance(answer, Invalid)
    assert answer.message.startswith("The prompt of a question has ")


def test_a_model_without_a_chat_template_is_refused(models: Any, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="has no chat template; decision needs a model that answers chats"):
        load(models.llama(tmp_path / "model"), task="decision")


LIKE = '{"type": "noul", "instructions": "Is a refund requested?"}'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a text", 'The input is a text; it must be an object such as {"state": "a text", "questions": '),
        ({"state": "a"}, 'The input is not like {"state": "a text", "questions": '),
        ({"state": "a", "questions": []}, "The input has questions that are a list; they must be an object by name."),
        ({"state": "a", "questions": {}}, "The input has no questions; send at least one."),
        ({"state": "a", "questions": {str(n): NOUL for n in range(33)}}, "The input has 33 questions; it may have 32."),
        (
            {"state": "a", "questions": {"b": {"type": "guess"}}},
            f"The question 'b' of the input must be an object such as {LIKE}; its type is one of choice, score, noul.",
        ),
        ({"state": "a" * 99, "questions": {"b": NOUL}}, "The input has "),
        ({"state": "\ud800", "questions": {"b": {"type": "noul"}}}, "The input has half of a surrogate pair in it"),
    ],
)
def test_what_is_wrong_is_said(value: Any, message: str) -> None:
    with pytest.raises((Invalid, EmptyInput)) as raised:
        DecisionInput().checked("The input", value, describe())
    assert raised.value.message.startswith(message)
