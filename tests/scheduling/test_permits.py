from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.scheduling.calls import Peer
from inference.scheduling.permits import SHARE, Permits

HOG, OTHER, THIRD = Peer("hog"), Peer("other"), Peer("third")


def permits(total: int = 100, **held: int) -> Permits:
    """``hog=60``: that address holds so many."""
    made = Permits(total)
    for address, inputs in held.items():
        made.take(Peer(address), inputs)
    return made


def fill(made: Permits, *peers: Peer, inputs: int = 1) -> None:
    """They take turns until none may have more."""
    waiting = list(peers)
    while waiting:
        for peer in tuple(waiting):
            if made.missing(peer, inputs):
                waiting.remove(peer)
            else:
                made.take(peer, inputs)


def test_an_idle_server_takes_what_fits():
    assert permits().missing(HOG, 100) == 0
    assert permits().missing(HOG, 101) == 1


def test_what_is_missing_must_come_free_first():
    assert permits(hog=90).missing(OTHER, 25) == 17  # of the ten that are left it may have eight


def test_permits_that_were_given_back_may_be_taken_again():
    made = permits(hog=100)
    made.give_back(HOG, 100)
    assert (made.taken, made.missing(OTHER, 100)) == (0, 0)


def test_a_request_without_inputs_leaves_no_trace():
    made = permits()
    made.take(HOG, 0)
    made.take(HOG, 2)
    made.give_back(HOG, 0)
    assert made.missing(HOG, 0) == 0
    made.give_back(HOG, 2)
    assert (made.taken, made._by_address, made._by_peer, made._connections) == (0, {}, {}, {})


@pytest.mark.parametrize("addresses", [1, 2, 3, 8])
def test_addresses_that_want_more_than_there_is_have_equal_shares_and_leave_some(addresses: int):
    made = permits(800)
    fill(made, *(Peer(f"hog{number}") for number in range(addresses)))
    each = made.taken / addresses
    assert all(abs(held - each) <= 1 for held in made._by_address.values())
    assert made.missing(OTHER, 1) == 0
    assert made.taken >= 0.76 * made.total


def test_a_list_by_itself_is_no_reason_to_keep_others_out_for_long():
    """It comes again at once when it is answered, before anybody else; but it no longer gets everything."""
    made = permits(hog=100)
    assert made.missing(OTHER, 1) == 1
    made.give_back(HOG, 100)
    made.take(OTHER, 1)
    assert made.missing(HOG, 100) > 0
    assert made.missing(HOG, 75) == 0


def test_connections_of_one_address_share_alike():
    """They may be different users behind one proxy."""
    made = permits(400)
    one, two = Peer("proxy", 1), Peer("proxy", 2)
    fill(made, one)
    assert made.missing(two, 1) == 0
    made = permits(400)
    fill(made, one, two)
    assert made._by_peer[one] == pytest.approx(made._by_peer[two], abs=1)
    assert made.missing(Peer("proxy", 3), 1) == 0


def test_many_connections_make_no_larger_share():
    made = permits(100)
    fill(made, *(Peer("hog", number) for number in range(200)))
    assert made.taken == round(SHARE * 100)
    assert made.missing(OTHER, 9) == 0


def test_a_client_that_connects_anew_finds_what_it_found_before():
    """Nothing is kept for connections that are gone, whatever they were told."""
    made = permits(100)
    fill(made, *(Peer("hog", number) for number in range(200)))
    for port in range(1000):
        assert made.missing(Peer("other", port), 9) == 0


@pytest.mark.parametrize("total", [1, 2, 3])
def test_with_next_to_no_permits_whoever_comes_gets_one(total: int):
    made = permits(total)
    for number in range(total):
        assert made.missing(Peer(f"a{number}"), 1) == 0
        made.take(Peer(f"a{number}"), 1)
    assert made.missing(OTHER, 1) == 1


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
requests = st.lists(st.tuples(peers, st.integers(0, 40), st.integers(1, 3)), min_size=1, max_size=60)


def play(made: Permits, asked: list[tuple[Peer, int, int]]) -> Iterator[None]:
    """Clients come second by second, and hold what they get for some."""
    held: list[tuple[int, Peer, int]] = []
    for now, (peer, inputs, seconds) in enumerate(asked):
        for due in [entry for entry in held if entry[0] <= now]:
            made.give_back(*due[1:])
            held.remove(due)
        if not made.missing(peer, inputs):
            made.take(peer, inputs)
            held.append((now + seconds, peer, inputs))
        assert made.taken == sum(inputs for _, _, inputs in held) <= made.total
        yield
    for _, peer, inputs in held:
        made.give_back(peer, inputs)


@steady
@given(requests)
def test_all_permits_come_back(asked: list[tuple[Peer, int, int]]):
    made = Permits(50)
    for _ in play(made, asked):
        assert made.missing(Peer("new"), 50) <= 50
    assert made.missing(Peer("new"), 50) == 0
    assert (made._by_address, made._by_peer, made._connections) == ({}, {}, {})


@steady
@given(st.integers(1, 8), st.integers(1, 60), st.sampled_from(["addresses", "connections"]))
def test_lists_that_keep_coming_do_not_keep_a_modest_client_out(hogs: int, inputs: int, many: str):
    """Each hog asks again at once, before anybody else."""
    made = Permits(512)
    greedy = [Peer(f"hog{n}") if many == "addresses" else Peer("hog", n) for n in range(hogs)]
    for _ in range(4):
        fill(made, *greedy, inputs=inputs)
        assert made.missing(Peer("modest"), 1) == 0
        for peer in greedy:
            if made._by_peer[peer] >= inputs:
                made.give_back(peer, inputs)
