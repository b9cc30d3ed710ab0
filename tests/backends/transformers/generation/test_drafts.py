"""Tokens that are guessed: texts are what they are without, in fewer steps where they repeat."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import Generated, generated
from inference.backends.transformers.generation.drafts import MOST, PAUSE, Drafts
from inference.backends.transformers.generation.plan import FEW, planned_tokens
from tests import tiny_models
from tests.generating import finish, generator, job, one

LONG: dict[str, Any] = {"max_new_tokens": 48, "min_new_tokens": 48}
ASKED: list[dict[str, Any]] = [
    {},
    {"top_n_tokens": 3},
    {"do_sample": True, "temperature": 0.05, "seed": 5},
    {"do_sample": True, "top_k": 3, "temperature": 0.3, "seed": 6},
    {"repetition_penalty": 1.05},
    {"frequency_penalty": -2.0},
]


def test_what_followed_earlier_is_the_guess() -> None:
    drafts = Drafts()
    assert drafts.next([1, 2, 3, 4], 9) == [], "nothing occurs again"
    assert drafts.next([1, 2, 3, 4, 1, 2], 9) == [3, 4]
    assert drafts.next([1, 2, 3, 4, 1, 2], 1) == [3], "no more than there is room for"
    assert drafts.next([1, 2, 3, 4, 1, 2, 7, 2, 3, 4, 1, 2], 9) == [7, 2], "where more tokens are the same"
    assert drafts.next([1, 2, 3, 4, 1, 2, 7, 2, 3, 4, 1, 2, 8, 1, 2], 9) == [8, 1], "the last occurrence"


def test_guesses_become_longer_while_they_are_right_and_pause_when_they_are_wrong() -> None:
    ids, drafts = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2], Drafts()
    lengths = []
    for _ in range(4):
        lengths.append(len(drafts.next(ids, 99)))
        drafts.source.note(len(ids), lengths[-1], lengths[-1])
    assert lengths == [2, 4, MOST, MOST]
    while guess := drafts.next(ids, 99):
        drafts.source.note(len(ids), len(guess), 0)
    assert not drafts.next(ids * (1 + PAUSE // len(ids)), 99)
    assert drafts.next(ids * (2 + PAUSE // len(ids)), 99)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def guessing(folder: Path) -> Any:
    return generator(folder)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    return generator(folder, speculation="off")


def steps(made: Any, *asked: dict[str, Any]) -> tuple[list[list[Generated]], int]:
    """The tokens of texts that run together, and in how many steps they came."""
    texts = [one(made, job("a boat, a boat, a boat", number=n, **LONG | each)) for n, each in enumerate(asked)]
    came: list[list[Generated]] = [[] for _ in texts]
    number = 0
    while any(len(each) < LONG["max_new_tokens"] for each in came):
        running = [text for text, each in zip(texts, came, strict=True) if len(each) < LONG["max_new_tokens"]]
        made.retain(running)
        planned = planned_tokens(running, made.cache)
        before = sum(text.cached for text in running)
        outcomes = dict(zip(running, made.step(running), strict=True))
        number += 1
        assert planned >= sum(text.cached for text in running) - before
        for text, each in zip(texts, came, strict=True):
            each += generated(outcomes.get(text))
    made.retain(())
    return came, number


@pytest.mark.parametrize("asked", ASKED, ids=repr)
def test_a_text_is_the_same_with_and_without(guessing: Any, plain: Any, asked: dict[str, Any]) -> None:
    ((wanted,), one_by_one), ((got,), fewer) = steps(plain, asked), steps(guessing, asked)
    assert [made.token for made in got] == [made.token for made in wanted]
    assert [made.text for made in got] == [made.text for made in wanted]
    assert [made.logprob for made in got] == pytest.approx([made.logprob for made in wanted], abs=1e-4)
    assert [[each[0] for each in made.top] for made in got] == [[each[0] for each in made.top] for made in wanted]
    assert got[-1].output == wanted[-1].output
    assert one_by_one == LONG["max_new_tokens"]
    assert fewer <= one_by_one


def test_a_text_that_repeats_itself_takes_fewer_steps(guessing: Any) -> None:
    _, number = steps(guessing, {"frequency_penalty": -2.0})
    assert number < LONG["max_new_tokens"] * 2 / 3


def test_several_texts_are_guessed_beside_each_other_and_many_are_not(guessing: Any, plain: Any) -> None:
    few = [{"frequency_penalty": -2.0, "seed": n, "do_sample": True} for n in range(FEW)]
    (wanted, _), (got, number) = steps(plain, *few), steps(guessing, *few)
    assert [[made.token for made in each] for each in got] == [[made.token for made in each] for each in wanted]
    assert number < LONG["max_new_tokens"]
    _, number = steps(guessing, *few, {})
    assert number == LONG["max_new_tokens"]


def test_an_end_within_a_guess_ends_the_text(guessing: Any, plain: Any) -> None:
    asked = job("a boat, a boat", **LONG | {"frequency_penalty": -2.0})
    (whole,) = finish(plain, [one(plain, asked)])
    ends = frozenset(whole.tokens[-3:])
    courses = []
    for made in (plain, guessing):
        text = one(made, asked)
        text.stop_conditions = replace(text.stop_conditions, end_tokens=ends)
        courses += finish(made, [text])
    wanted, got = courses
    assert (got.tokens, got.last.finish_reason) == (wanted.tokens, "eos_token")


def test_a_grammar_is_followed_without_guesses(guessing: Any) -> None:
    text = one(guessing, job(grammar={"type": "regex", "value": "(ab)+"}, **LONG))
    assert text.drafts is None
