from collections.abc import Callable
from typing import Any

import pytest

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs import ChatOrTextInput, InputForm, SentencesInput, TextInput, is_chat
from tests.serving.test_validation import describe

USER = {"role": "user", "content": "Hello"}
LONG = "which are never more than 100 characters."


def refusal(form: InputForm, value: Any, **fields: Any) -> str:
    with pytest.raises((Invalid, EmptyInput)) as raised:
        form.checked("The input", value, describe(**fields))
    return raised.value.message


def check(form: InputForm, value: Any, **fields: Any) -> None:
    assert form.checked("The input", value, describe(**fields)) == value


# Texts


@pytest.mark.parametrize("form", [TextInput(), TextInput(masked=True), ChatOrTextInput()], ids=str)
@pytest.mark.parametrize(
    ("value", "what"),
    [
        (1, "a number"),
        (1.5, "a number"),
        (True, "true or false"),
        (None, "null"),
        ({"text": "a"}, "an object"),
        (["a"], "a list"),
    ],
    ids=str,
)
def test_an_input_that_is_no_text_is_refused(form: InputForm, value: Any, what: str):
    assert refusal(form, value) == f"The input is {what}; it must be a text."


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u00a0\u2003"], ids=ascii)
def test_an_empty_text_is_refused_as_empty(text: str):
    with pytest.raises(EmptyInput, match=r"^The input is empty; send a text\.$"):
        check(TextInput(masked=True), text)


def test_too_many_characters_are_refused_with_limit_and_actual():
    assert refusal(TextInput(), "a" * 101) == (f"The input has 101 characters; this model takes 10 tokens, {LONG}")


def test_as_many_characters_as_allowed_are_fine():
    check(TextInput(), "a" * 100)


def test_no_mask_is_refused_with_the_mask_token():
    assert refusal(TextInput(masked=True), "no mask") == (
        "The input has no [MASK]; put one where a word is to be filled in."
    )


def test_another_models_mask_token_is_no_mask():
    assert refusal(TextInput(masked=True), "a [MASK]", mask_token="<mask>") == (
        "The input has no <mask>; put one where a word is to be filled in."
    )


def test_where_no_mask_is_wanted_none_is_needed():
    check(TextInput(), "no mask", mask_token="[MASK]")


def test_half_of_a_surrogate_pair_is_refused():
    assert refusal(TextInput(), "a \ud800") == (
        "The input has half of a surrogate pair in it, which is no character; send whole ones."
    )


def test_characters_beyond_the_basic_plane_are_fine():
    check(TextInput(), "\U0001f600")


# Token ids

IDS = '{"token_ids": [5, 17]}'


@pytest.mark.parametrize("ids", [[0], [29_999] * 10, list(range(10))])
def test_token_ids_are_an_input(ids: list[int]):
    check(ChatOrTextInput(), {"token_ids": ids})


def test_token_ids_of_a_vocabulary_of_unknown_size_are_whole_numbers():
    check(ChatOrTextInput(), {"token_ids": [10**6]}, vocabulary=0)
    assert refusal(ChatOrTextInput(), {"token_ids": [2**31]}, vocabulary=0).endswith("from 0 to 2147483647.")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"token_ids": [5], "text": "a"}, f"The input is not like {IDS}; send just these fields."),
        ({"token_ids": 5}, "The token_ids of the input are a number; they must be a list of whole numbers."),
        ({"token_ids": "5"}, "The token_ids of the input are a text; they must be a list of whole numbers."),
        ({"token_ids": []}, "The input has no token_ids; send at least one."),
        ({"token_ids": [1] * 11}, "The input has 11 tokens; this model takes at most 10."),
        *(
            (
                {"token_ids": [5, wrong]},
                f"token_ids[1] of the input is {shown}; it must be a whole number from 0 to 29999.",
            )
            for wrong, shown in [
                (30_000, "30000"),
                (-1, "-1"),
                (True, "true or false"),
                (5.0, "5.0"),
                ("5", "a text"),
                (None, "null"),
                ([5], "a list"),
                (10**30, "1" + "0" * 19),
            ]
        ),
    ],
    ids=str,
)
def test_what_is_wrong_with_token_ids_is_said(value: Any, sentence: str):
    assert refusal(ChatOrTextInput(), value) == sentence


# Chats


def chat_refusal(*messages: Any) -> str:
    return refusal(ChatOrTextInput(), list(messages), chat=True)


@pytest.mark.parametrize(
    "value", [[USER], [{"role": "system", "content": ""}, USER], [{"role": 1}], [USER, {}]], ids=str
)
def test_a_list_of_messages_is_one_chat(value: Any):
    assert is_chat(value)


@pytest.mark.parametrize("value", [[], [{}], "a", USER, ["a", USER], [[USER]], None, [{"text": "a"}]], ids=str)
def test_anything_else_is_no_chat(value: Any):
    assert not is_chat(value)


@pytest.mark.parametrize("value", [[{"role": "system", "content": ""}, USER], "a text"], ids=str)
def test_chats_and_texts_are_fine_where_the_model_has_a_template(value: Any):
    check(ChatOrTextInput(), value, chat=True)


def test_a_chat_is_refused_where_the_model_has_no_template():
    assert refusal(ChatOrTextInput(), [USER]) == (
        "The input is a list of messages, but this model has no chat template; it must be a text."
    )


def test_a_chat_is_refused_where_the_task_has_none():
    assert refusal(TextInput(), [USER], chat=True) == (
        "The input is a list of messages, but this task has no chats; it must be a text."
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"role": "user"},
        {"content": "a"},
        {**USER, "name": "x"},
        {"role": 1, "content": "a"},
        {**USER, "content": []},
    ],
    ids=str,
)
def test_a_message_of_another_shape_is_named_with_what_is_right(wrong: Any):
    assert chat_refusal(USER, wrong) == (
        'The input has a message 1 that is not like {"role": "user", "content": "a text"}; send just these fields.'
    )


def test_a_chat_has_a_limited_number_of_messages():
    assert chat_refusal(*[USER] * 1001) == "The input has 1001 messages; it may have 1000."


@pytest.mark.parametrize("role", ["", "r" * 33], ids=len)
def test_a_role_has_a_sensible_length(role: str):
    assert "1 to 32 are right" in chat_refusal({"role": role, "content": "a"})


def test_a_chat_without_words_is_empty():
    assert chat_refusal({"role": "user", "content": " "}).startswith("The input has no message with a content")


def test_all_messages_count_for_the_length():
    half = {"role": "user", "content": "a" * 50}
    assert "The input has 108 characters" in chat_refusal(half, half)


def test_a_chat_is_checked_for_half_characters():
    assert "half of a surrogate pair" in chat_refusal({"role": "user", "content": "\ud800"})


# Sentences to compare with another

LIKE = '{"source_sentence": "a text", "sentences": ["a text", "another text"]}'


def sentences(*others: Any, source: Any = "a source") -> dict[str, Any]:
    return {"source_sentence": source, "sentences": list(others)}


def test_each_sentence_may_be_as_long_as_a_text():
    check(SentencesInput(), sentences("a" * 100, "b" * 100, source="c" * 100))
    check(SentencesInput(), sentences(*["a"] * 64))


@pytest.mark.parametrize(
    ("value", "what"), [("a text", "a text"), (1, "a number"), (None, "null"), (["a", "b"], "a list")], ids=str
)
def test_what_is_no_object_is_refused_with_one_that_is_right(value: Any, what: str):
    assert refusal(SentencesInput(), value) == f"The input is {what}; it must be an object such as {LIKE}."


@pytest.mark.parametrize(
    "value",
    [{}, {"source_sentence": "a"}, {"sentences": ["a"]}, sentences("a") | {"top_k": 1}, {"text": "a", "others": []}],
    ids=str,
)
def test_other_fields_than_the_two_are_refused(value: Any):
    assert refusal(SentencesInput(), value) == f"The input is not like {LIKE}; send just these fields."


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (sentences(), "The input has no sentences; send at least one."),
        (sentences() | {"sentences": "a"}, "The input has sentences that are a text; they must be a list of texts."),
        (sentences(*["a"] * 65), "The input has 65 sentences; it may have 64."),
        (sentences("a", source=None), "The source_sentence of the input is null; it must be a text."),
        (sentences("a", source=" "), "The source_sentence of the input is empty; send a text."),
        (sentences("a", 1), "sentences[1] of the input is a number; it must be a text."),
        (sentences("a", ["b"]), "sentences[1] of the input is a list; it must be a text."),
        (sentences("a", ""), "sentences[1] of the input is empty; send a text."),
        (
            sentences("a" * 101),
            f"sentences[0] of the input has 101 characters; this model takes 10 tokens, {LONG}",
        ),
        (
            sentences("\ud800"),
            "sentences[0] of the input has half of a surrogate pair in it, which is no character; send whole ones.",
        ),
    ],
    ids=ascii,
)
def test_the_sentence_that_is_wrong_is_named(value: Any, sentence: str):
    assert refusal(SentencesInput(), value) == sentence


def test_the_input_that_it_is_in_is_named_too():
    with pytest.raises(Invalid, match=r"^sentences\[0\] of inputs\[2\] is null; it must be a text\.$"):
        SentencesInput().checked("inputs[2]", sentences(None), describe())


# What is in an input


@pytest.mark.parametrize(
    ("form", "value", "texts", "upper"),
    [
        (TextInput(), "a text", ["a text"], "A TEXT"),
        (ChatOrTextInput(), "a text", ["a text"], "A TEXT"),
        (ChatOrTextInput(), {"token_ids": [5]}, [], {"token_ids": [5]}),
        (ChatOrTextInput(), [USER], ["user", "Hello"], [{"role": "user", "content": "HELLO"}]),
        (SentencesInput(), sentences("b", "cd", source="a"), ["a", "b", "cd"], sentences("B", "CD", source="A")),
    ],
)
def test_a_form_knows_its_texts(form: InputForm, value: Any, texts: list[str], upper: Any):
    change: Callable[[str], str] = str.upper
    assert form.texts(value) == texts
    assert form.changed(value, change) == upper
