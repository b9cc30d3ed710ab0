"""Inputs of several texts: what is wrong with one is said in a sentence that names the text."""

from typing import Any

import pytest

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs import RankingInput, TextOrPairInput
from tests.serving.test_validation import describe
from tests.tasks.test_inputs import LONG, USER, check, refusal

PAIR = '{"text": "a text", "text_pair": "another text"}'

RANKING = '{"query": "a text", "texts": ["a text", "another text"]}'


def pair(text: Any, other: Any) -> dict[str, Any]:
    return {"text": text, "text_pair": other}


def test_a_text_and_a_pair_are_fine():
    check(TextOrPairInput(), "a text")
    check(TextOrPairInput(), pair("a" * 100, "b" * 100))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (1, "The input is a number; it must be a text."),
        (["a", "b"], "The input is a list; it must be a text."),
        ([USER], "The input is a list of messages, but this task has no chats; it must be a text."),
        ("", "The input is empty; send a text."),
        ({}, f"The input is not like {PAIR}; send just these fields."),
        ({"text": "a"}, f"The input is not like {PAIR}; send just these fields."),
        (pair("a", "b") | {"padding": True}, f"The input is not like {PAIR}; send just these fields."),
        (pair("a", None), "The text_pair of the input is null; it must be a text."),
        (pair(["a"], "b"), "The text of the input is a list; it must be a text."),
        (pair("a", " "), "The text_pair of the input is empty; send a text."),
        (pair("a" * 101, "b"), f"The text of the input has 101 characters; this model takes 10 tokens, {LONG}"),
        (
            pair("a", "\ud800"),
            "The text_pair of the input has half of a surrogate pair in it, which is no character; send whole ones.",
        ),
    ],
    ids=ascii,
)
def test_what_is_wrong_with_a_pair_is_said(value: Any, sentence: str):
    assert refusal(TextOrPairInput(), value) == sentence


def test_a_pair_that_will_be_cut_may_be_longer():
    value = pair("a" * 101, "b" * 101)
    assert TextOrPairInput().checked("The input", value, describe(), cut=True) == value
    with pytest.raises((Invalid, EmptyInput)):
        TextOrPairInput().checked("The input", pair("a" * 101, ""), describe(), cut=True)


def test_both_texts_of_a_pair_are_known():
    assert TextOrPairInput().texts("a") == ["a"]
    assert TextOrPairInput().texts(pair("a", "b")) == ["a", "b"]
    assert TextOrPairInput().changed(pair("a", "b"), str.upper) == pair("A", "B")


# A query and texts


def ranking(*texts: Any, query: Any = "a query") -> dict[str, Any]:
    return {"query": query, "texts": list(texts)}


def test_a_query_and_many_texts_are_fine():
    check(RankingInput(), ranking(*["a" * 100] * 256, query="b" * 100))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("a text", f"The input is a text; it must be an object such as {RANKING}."),
        ({"query": "a"}, f"The input is not like {RANKING}; send just these fields."),
        (ranking("a") | {"top_n": 1}, f"The input is not like {RANKING}; send just these fields."),
        (ranking(), "The input has no texts; send at least one."),
        (ranking() | {"texts": "a"}, "The input has texts that are a text; they must be a list of texts."),
        (ranking(*["a"] * 257), "The input has 257 texts; it may have 256."),
        (ranking("a", query=None), "The query of the input is null; it must be a text."),
        (ranking("a", query=" "), "The query of the input is empty; send a text."),
        (ranking("a", 1), "texts[1] of the input is a number; it must be a text."),
        (ranking("a", {"text": "b"}), "texts[1] of the input is an object; it must be a text."),
        (ranking("a", ""), "texts[1] of the input is empty; send a text."),
        (ranking("a" * 101), f"texts[0] of the input has 101 characters; this model takes 10 tokens, {LONG}"),
    ],
    ids=ascii,
)
def test_what_is_wrong_with_a_ranking_is_said(value: Any, sentence: str):
    assert refusal(RankingInput(), value) == sentence


def test_the_query_and_all_texts_are_known():
    assert RankingInput().texts(ranking("b", "c", query="a")) == ["a", "b", "c"]
    assert RankingInput().changed(ranking("b", query="a"), str.upper) == ranking("B", query="A")
