from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.calls import Peer
from inference.permits import Permits

HOG, OTHER, THIRD = Peer("hog"), Peer("other"), Peer("third")


def permits(total: int = 100, **held: int) -> Permits:
    """``hog=60``: that address holds so many."""
    made = Permits(total)
    for address, inputs in held.items():
        made.take(Peer(address), inputs)
    return made


def test_whoever_comes_first_may_take_all():
    assert permits().missing(HOG, 100, 0.0) == 0


def test_what_is_missing_must_come_free_first():
    assert permits(hog=90).missing(OTHER, 25, 0.0) == 15


def test_permits_that_were_given_back_may_be_taken_again():
    made = permits(hog=100)
    made.give_back(HOG, 100)
    assert (made.taken, made.missing(OTHER, 100, 0.0)) == (0, 0)


def test_room_is_kept_for_who_was_turned_away():
    made = permits(hog=100)
    made.turn_away(OTHER, 20, until=2.0)
    made.give_back(HOG, 20)
    assert made.missing(HOG, 20, 1.0) == 20
    assert made.missing(OTHER, 20, 1.0) == 0


def test_room_is_kept_until_it_is_taken():
    made = permits(hog=60)
    made.turn_away(OTHER, 20, until=2.0)
    made.take(OTHER, 20)
    assert made.missing(HOG, 20, 1.0) == 0


def test_room_is_kept_no_longer_than_the_moment_that_was_told():
    made = permits(hog=80)
    made.turn_away(OTHER, 20, until=2.0)
    assert (made.missing(HOG, 20, 1.9), made.missing(HOG, 20, 2.0)) == (20, 0)


def test_at_most_half_of_the_room_is_kept():
    """Those who were turned away may never come."""
    made = permits(hog=40)
    for number in range(40):
        made.turn_away(Peer(f"gone{number}"), 3, until=2.0)
    assert made.missing(HOG, 10, 1.0) == 0
    assert made.missing(HOG, 11, 1.0) == 1


def test_no_room_is_kept_for_who_wants_more_than_a_share():
    made = permits(hog=50, other=50)
    made.turn_away(HOG, 1, until=2.0)
    made.give_back(OTHER, 50)
    assert made.missing(OTHER, 50, 1.0) == 0


def test_who_wants_next_to_nothing_need_not_wait_for_others():
    made = permits(hog=90)
    made.turn_away(OTHER, 20, until=2.0)
    assert made.missing(THIRD, 3, 1.0) == 0
    made.take(THIRD, 3)
    assert made.missing(THIRD, 3, 1.0) == 16


def test_connections_of_one_address_share_alike():
    """They may be different users behind one proxy."""
    made = permits()
    greedy, modest = Peer("proxy", 1), Peer("proxy", 2)
    made.take(greedy, 100)
    made.turn_away(modest, 10, until=2.0)
    made.give_back(greedy, 10)
    assert (made.missing(greedy, 10, 1.0), made.missing(modest, 10, 1.0)) == (10, 0)


def test_many_connections_make_no_larger_share():
    made = permits()
    for number in range(100):
        made.take(Peer("hog", number), 1)
    made.turn_away(OTHER, 20, until=2.0)
    made.give_back(Peer("hog", 0), 1)
    assert made.missing(Peer("hog", 100), 1, 1.0) == 20


@pytest.mark.parametrize(
    ("held", "peer", "inputs", "ahead"),
    [
        ({}, OTHER, 5, 5),
        ({"hog": 90}, HOG, 5, 95),
        ({"hog": 90}, OTHER, 5, 10),
        ({"hog": 3}, OTHER, 5, 8),
        ({"hog": 90, "third": 6}, OTHER, 1, 3),
    ],
)
def test_how_many_are_answered_first(held: dict[str, int], peer: Peer, inputs: int, ahead: int):
    """Those who take turns hold nobody up by more than what he asks for himself."""
    assert permits(**held).ahead(peer, inputs) == ahead


def test_within_an_address_connections_take_turns():
    made = Permits(100)
    made.take(Peer("proxy", 1), 90)
    assert made.ahead(Peer("proxy", 2), 2) == 4


steady = settings(deadline=None)
peers = st.builds(Peer, st.sampled_from("abcd"), st.integers(0, 3))
requests = st.lists(st.tuples(peers, st.integers(1, 40), st.integers(1, 3)), min_size=1, max_size=60)


def play(made: Permits, asked: list[tuple[Peer, int, int]]) -> Iterator[float]:
    """Clients come second by second, hold what they get for some, and are told to return after two."""
    held: list[tuple[int, Peer, int]] = []
    for now, (peer, inputs, seconds) in enumerate(asked):
        for due in [entry for entry in held if entry[0] <= now]:
            made.give_back(*due[1:])
            held.remove(due)
        if made.missing(peer, inputs, now):
            made.turn_away(peer, inputs, until=now + 2)
        else:
            made.take(peer, inputs)
            held.append((now + seconds, peer, inputs))
        assert made.taken == sum(inputs for _, _, inputs in held) <= made.total
        yield now
    for _, peer, inputs in held:
        made.give_back(peer, inputs)


@steady
@given(requests)
def test_all_permits_come_back(asked: list[tuple[Peer, int, int]]):
    made = Permits(50)
    *_, end = play(made, asked)
    assert made.missing(Peer("new"), 50, end + 3) == 0
    assert not made._by_address
    assert not made._by_peer
    assert not made._expected
    assert not made._reserved


@steady
@given(requests)
def test_nobody_is_shut_out_by_promises(asked: list[tuple[Peer, int, int]]):
    """Whatever was promised to whom: when half is free, some request for the other half gets in."""
    made = Permits(80)
    for now in play(made, asked):
        if made.taken <= 0:
            assert made.missing(Peer("new"), 40, now) == 0


@steady
@given(st.integers(1, 8), st.integers(1, 128), st.sampled_from(["addresses", "connections"]))
def test_lists_that_keep_coming_do_not_keep_a_modest_client_out(hogs: int, inputs: int, many: str):
    """Each hog asks again at once, before anybody else. The modest one comes when it was told to."""
    made, modest = Permits(512), Peer("modest")
    greedy = [Peer(f"hog{n}") if many == "addresses" else Peer("hog", n) for n in range(hogs)]
    inside: list[Peer] = []

    def all_ask(now: float) -> None:
        coming = list(greedy)
        while coming:
            for peer in tuple(coming):
                if made.missing(peer, inputs, now):
                    made.turn_away(peer, inputs, until=now + 2)
                    coming.remove(peer)
                else:
                    made.take(peer, inputs)
                    inside.append(peer)

    all_ask(0.0)
    if made.missing(modest, 1, 0.0):
        made.turn_away(modest, 1, until=2.0)
    for now in (0.25, 0.5, 0.75):
        made.give_back(inside.pop(0), inputs)
        all_ask(now)
    assert made.missing(modest, 1, 1.0) == 0
