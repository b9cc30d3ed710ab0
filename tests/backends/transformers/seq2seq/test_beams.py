"""Beam search, one step after the other; that whole texts are those of ``generate`` is in ``test_generator.py``."""

import math
from typing import Any

import pytest

from inference.backends.transformers.seq2seq.beams import IMPOSSIBLE, Beams, BeamSettings, Candidate

END = 9


def search(**settings: Any) -> Beams:
    """Of two beams that begin with token 0."""
    known: dict[str, Any] = {
        "width": 2,
        "length_penalty": 1.0,
        "early_stopping": False,
        "end_tokens": frozenset({END}),
        "prompt_tokens": 1,
        "longest": 10,
    }
    return Beams(BeamSettings(**known | settings), [[0]])


def after(beams: Beams, *candidates: tuple[float, int, int]) -> Beams:
    return beams.after([Candidate(*each) for each in candidates])


def test_the_likeliest_go_on_and_those_that_end_are_kept_by_their_mean():
    first = after(search(), (-1.0, 0, 5), (-2.0, 0, END), (-3.0, 0, 6), (-4.0, 0, 7))
    assert first.sequences == [[0, 5], [0, 6]]
    assert (first.scores, first.origins) == ([-1.0, -3.0], [0, 0])
    assert first.finished == [(-2.0, [0, END])]
    assert not first.done
    second = after(first, (-1.5, 1, END), (-1.6, 0, END), (-5.0, 1, 4), (-6.0, 0, 4))
    assert second.finished == [(-0.75, [0, 6, END]), (-0.8, [0, 5, END])]
    assert second.sequences == [[0, 6, 4], [0, 5, 4]]
    assert second.done, "-5 / 2 is worse than -0.8"
    assert (second.best, second.finish_reason) == ([0, 6, END], "eos_token")


def test_only_the_best_as_many_as_beams_can_end():
    first = after(search(), (-1.0, 0, 5), (-2.0, 0, 6), (-3.0, 0, END), (-4.0, 0, 7))
    assert first.finished == []
    assert first.sequences == [[0, 5], [0, 6]]


def test_a_step_leaves_the_search_before_it_as_it_was():
    before = search()
    after(before, (-1.0, 0, 5), (-2.0, 0, END), (-3.0, 0, 6), (-4.0, 0, 7))
    assert before == search()


@pytest.mark.parametrize("score", [-math.inf, 2 * IMPOSSIBLE])
def test_an_end_that_is_forbidden_is_none(score: float):
    """As where the first token is forced: all others are impossible, but among the likeliest."""
    first = after(search(early_stopping=True), (0.0, 0, 5), (score, 0, END), (score, 0, 6), (score, 0, 7))
    assert first.finished == []
    second = after(first, (-1.0, 0, END), (-2.0, 0, 5), (-3.0, 0, 6), (-4.0, 0, 7))
    assert len(second.finished) == 1
    assert not second.done


def test_it_may_stop_as_soon_as_enough_have_ended():
    candidates = (-1.0, 0, END), (-1.1, 0, END), (-1.2, 0, 4), (-1.3, 0, 5)
    likely = {"end_tokens": frozenset({END, 8})}
    assert after(search(early_stopping=True), *candidates).done
    assert after(search(), *candidates).done, "-1.2 is worse than -1.1"
    assert not after(search(length_penalty=2.0, early_stopping="never"), *candidates).done, "it may become better"
    assert search(**likely).settings.candidates == 6


def test_it_stops_where_there_is_no_more_room():
    first = after(search(longest=2), (-1.0, 0, 5), (-2.0, 0, 6), (-3.0, 0, END), (-4.0, 0, 7))
    assert (first.done, first.best, first.finish_reason) == (True, [0, 5], "length")


def test_a_stop_string_ends_a_sequence():
    first = after(search(stops=lambda ids: ids[-1] == 5), (-1.0, 0, 5), (-2.0, 0, 6), (-3.0, 0, 7), (-4.0, 0, 8))
    assert first.finished == [(-1.0, [0, 5])]
    assert (first.sequences, first.finish_reason) == ([[0, 6], [0, 7]], "stop_sequence")
