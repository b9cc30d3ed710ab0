import pytest

from inference.tasks.values import is_encodable, json_type


def test_json_types_are_named_in_words():
    values = [{}, [], "", True, None, 1, 1.5]
    words = ["an object", "a list", "a text", "true or false", "null", "a number", "a number"]
    assert [json_type(value) for value in values] == words


@pytest.mark.parametrize(("text", "can"), [("", True), ("é \U0001f600", True), ("a \ud800", False)], ids=ascii)
def test_half_of_a_surrogate_pair_cannot_be_sent(text: str, can: bool):
    assert is_encodable(text) is can
