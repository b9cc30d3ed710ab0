from typing import Any

import pytest

from inference.errors import EmptyInput, Invalid
from inference.messaging.messages import Description
from inference.serving.validation import is_chat, json_type, validate_inputs, validate_tokens
from inference.tasks.base import TASKS


def describe(task: str = "fill-mask", **fields: Any) -> Description:
    known: dict[str, Any] = {
        "task": task,
        "model": "a/model",
        "revision": "",
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "vocabulary": 30_000,
        "mask_token": "[MASK]" if task == "fill-mask" else "",
        "longest_input": 10,
        "longest_input_chars": 100,
    }
    return Description(**(known | fields))


def refusal(inputs: list[Any], **fields: Any) -> str:
    with pytest.raises((Invalid, EmptyInput)) as raised:
        validate_inputs(describe(**fields), inputs)
    return raised.value.message


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
def test_an_input_that_is_no_text_is_refused(value: Any, what: str):
    assert refusal([value]) == f"The input is {what}; it must be a text."


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u00a0\u2003"], ids=ascii)
def test_an_empty_input_is_refused_as_empty(text: str):
    with pytest.raises(EmptyInput, match=r"^The input is empty; send a text\.$"):
        validate_inputs(describe(), [text])


def test_no_inputs_at_all_are_refused_as_empty():
    with pytest.raises(EmptyInput, match="is an empty list; send a text or a list of texts"):
        validate_inputs(describe(), [])


def test_too_many_characters_are_refused_with_limit_and_actual():
    assert refusal(["[MASK]" + "a" * 95]) == (
        "The input has 101 characters; this model takes 10 tokens, which are never more than 100 characters."
    )


def test_as_many_characters_as_allowed_are_fine():
    validate_inputs(describe(), ["[MASK]" + "a" * 94])


def test_no_mask_is_refused_with_the_mask_token():
    assert refusal(["no mask"]) == "The input has no [MASK]; put one where a word is to be filled in."


def test_another_models_mask_token_is_no_mask():
    assert refusal(["a [MASK]"], mask_token="<mask>") == (
        "The input has no <mask>; put one where a word is to be filled in."
    )


@pytest.mark.parametrize("task", sorted(set(TASKS) - {"fill-mask"}))
def test_other_tasks_need_no_mask(task: str):
    validate_inputs(describe(task, mask_token="[MASK]"), ["no mask"])


def test_half_of_a_surrogate_pair_is_refused():
    assert refusal(["[MASK] \ud800"]) == (
        "The input has half of a surrogate pair in it, which is no character; send whole ones."
    )


def test_characters_beyond_the_basic_plane_are_fine():
    validate_inputs(describe(), ["[MASK] \U0001f600"])


@pytest.mark.parametrize(
    "bad", [1, "", "no mask", "[MASK]" + "a" * 95, "[MASK]\ud800"], ids=["number", "empty", "no mask", "long", "half"]
)
def test_the_first_bad_one_of_several_inputs_is_named_by_its_index(bad: Any):
    assert refusal(["[MASK]", "[MASK]", bad, bad]).startswith("inputs[2] ")


def test_several_good_inputs_are_fine():
    validate_inputs(describe(), ["a [MASK]"] * 100)


# Chats

USER = {"role": "user", "content": "Hello"}


def chat_refusal(*messages: Any, **fields: Any) -> str:
    return refusal([list(messages)], **({"task": "text-generation", "chat": True} | fields))


@pytest.mark.parametrize(
    "value", [[USER], [{"role": "system", "content": ""}, USER], [{"role": 1}], [USER, {}]], ids=str
)
def test_a_list_of_messages_is_one_chat(value: Any):
    assert is_chat(value)


@pytest.mark.parametrize("value", [[], [{}], "a", USER, ["a", USER], [[USER]], None, [{"text": "a"}]], ids=str)
def test_anything_else_is_no_chat(value: Any):
    assert not is_chat(value)


def test_a_chat_is_fine_where_the_model_has_a_template():
    validate_inputs(describe("text-generation", chat=True), [[{"role": "system", "content": ""}, USER], "a text"])


def test_a_chat_is_refused_where_it_has_none():
    sentence = chat_refusal(USER, chat=False)
    assert sentence == "The input is a list of messages, but this model has no chat template; it must be a text."
    assert chat_refusal(USER, chat=False, task="fill-mask").endswith("but this task has no chats; it must be a text.")


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
        'The input has a message 1 that is not like {"role": "user", "content": "a text"}; send just these two fields.'
    )


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


# Streams


@pytest.mark.parametrize("field", ["stream", "details"])
def test_tokens_are_for_one_input_of_a_model_that_streams(field: str):
    validate_tokens(describe("text-generation", streams=True), field, many=False)


def test_tokens_are_refused_where_there_are_none():
    with pytest.raises(Invalid, match=r"^fill-mask does not stream; leave 'stream' out\.$"):
        validate_tokens(describe(), "stream", many=False)


def test_tokens_of_several_inputs_are_refused():
    with pytest.raises(Invalid) as raised:
        validate_tokens(describe("text-generation", streams=True), "details", many=True)
    assert raised.value.message == (
        "'details' is for one input, and 'inputs' is a list; send a text, or leave 'details' out."
    )


def test_json_types_are_named_in_words():
    values = [{}, [], "", True, None, 1, 1.5]
    words = ["an object", "a list", "a text", "true or false", "null", "a number", "a number"]
    assert [json_type(value) for value in values] == words
