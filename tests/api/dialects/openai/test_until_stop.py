from itertools import accumulate

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from inference.api.dialects.openai.until_stop import UntilStop, cut
from inference.messaging.messages import Token

TEXTS = st.text("ab ", max_size=4)


def tokens(*texts: str) -> list[Token]:
    return [Token(1, index, index, text, 0.0) for index, text in enumerate(texts)]


def pushed(stop: list[str], *texts: str) -> list[str]:
    made, until_stop = tokens(*texts), UntilStop(stop)
    return [until_stop.push(token, last=token is made[-1])[0] for token in made]


@pytest.mark.parametrize(
    ("stop", "texts", "released"),
    [
        ([], ["once", " upon"], ["once", " upon"]),
        (["STOP"], ["aST", "b"], ["a", "STb"]),
        (["STOP"], ["aST", "OPb", "c"], ["a", "", ""]),
        (["STOP"], ["aS", "T"], ["a", "ST"]),
        (["\n\n", "b"], ["x\n", "y", "bc"], ["x", "\ny", ""]),
        (["ab", "abc"], ["a", "b"], ["", ""]),
    ],
)
def test_what_may_begin_a_stop_sequence_is_held_back(stop: list[str], texts: list[str], released: list[str]):
    assert pushed(stop, *texts) == released


@example([" a", "b"], ["a", " ab"])
@given(st.lists(TEXTS, min_size=1, max_size=8), st.lists(TEXTS.filter(bool), max_size=3))
def test_the_pieces_are_the_text_before_the_first_stop_sequence(texts: list[str], stop: list[str]):
    so_far = list(accumulate(texts))
    ended = next((text for text in so_far if cut(text, stop) != text), so_far[-1])
    assert "".join(pushed(stop, *texts)) == cut(ended, stop)


def test_tokens_come_with_the_text_in_which_they_begin():
    until_stop = UntilStop(["STOP"])
    first, second, third = tokens("a S", "T", "OP")
    assert until_stop.push(first) == ("a ", [(first, 0)])
    assert until_stop.push(second) == ("", [])
    assert until_stop.push(third, last=True) == ("", [])


def test_half_a_character_is_told_at_once_and_the_special_end_never():
    until_stop = UntilStop([])
    half, rest = tokens("", "é")
    end = Token(1, 2, 0, "", 0.0, special=True)
    assert until_stop.push(half) == ("", [(half, 0)])
    assert until_stop.push(rest) == ("é", [(rest, 0)])
    assert until_stop.push(end, last=True) == ("", [])
