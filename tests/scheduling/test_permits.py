from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.scheduling.calls import Peer
from inference.scheduling.permits import MAX_SHARE, Permits

HOG, OTHER, THIRD = Peer("hog"), Peer("other"), Peer("third")


def permits(total: int = 100, **held: int) -> Permits:
    """``hog=60``: that address holds 60."""
    made = Permits(total)
    for address, inputs in held.items():
        made.acquire(Peer(address), inputs)
    return made


def fill(made: Permits, *peers: Peer, inputs: int = 1) -> None:
    """The peers acquire permits in turns until none may have more."""
    waiting = list(peers)
    while waiting:
        for peer in tuple(waiting):
            if made.shortfall(peer, inputs):
                waiting.remove(peer)
            else:
                made.acquire(peer, inputs)


def test_an_idle_server_takes_what_fits():
    assert permits().shortfall(HOG, 100) == 0
    assert permits().shortfall(HOG, 101) == 1


def test_the_shortfall_must_be_released_first():
    assert permits(hog=90).shortfall(OTHER, 25) == 17  # of the ten that are left it may have eight


def test_permits_that_were_given_back_may_be_taken_again():
    made = permits(hog=100)
    made.release(HOG, 100)
    assert (made.in_use, made.shortfall(OTHER, 100)) == (0, 0)


def test_a_request_without_inputs_changes_nothing():
    made = permits()
    made.acquire(HOG, 0)
    made.acquire(HOG, 2)
    made.release(HOG, 0)
    assert made.shortfall(HOG, 0) == 0
    made.release(HOG, 2)
    assert (made.in_use, made._held, made._members, made._unusual) == (0, {}, {}, {})


@pytest.mark.parametrize("addresses", [1, 2, 3, 8])
def test_addresses_that_want_more_than_there_is_have_equal_shares_and_leave_some(addresses: int):
    made = permits(800)
    fill(made, *(Peer(f"hog{number}") for number in range(addresses)))
    each = made.in_use / addresses
    assert all(abs(held - each) <= 1 for group, held in made._held.items() if isinstance(group, str))
    assert made.shortfall(OTHER, 1) == 0
    assert made.in_use >= 0.76 * made.total


def test_a_list_that_took_all_permits_gets_fewer_once_another_client_is_waiting():
    """It is sent again at once when it is answered, but may no longer take all permits."""
    made = permits(hog=100)
    assert made.shortfall(OTHER, 1) == 1
    made.release(HOG, 100)
    made.acquire(OTHER, 1)
    assert made.shortfall(HOG, 100) > 0
    assert made.shortfall(HOG, 75) == 0


def test_connections_of_one_address_share_alike():
    """They may be different users behind one proxy."""
    made = permits(400)
    one, two = Peer("proxy", 1), Peer("proxy", 2)
    fill(made, one)
    assert made.shortfall(two, 1) == 0
    made = permits(400)
    fill(made, one, two)
    assert made._held[one] == pytest.approx(made._held[two], abs=1)
    assert made.shortfall(Peer("proxy", 3), 1) == 0


def test_many_connections_make_no_larger_share():
    made = permits(100)
    fill(made, *(Peer("hog", number) for number in range(200)))
    assert made.in_use == round(MAX_SHARE * 100)
    assert made.shortfall(OTHER, 9) == 0


def test_a_new_connection_of_a_client_has_the_same_limit():
    """Nothing is stored about closed connections."""
    made = permits(100)
    fill(made, *(Peer("hog", number) for number in range(200)))
    for port in range(1000):
        assert made.shortfall(Peer("other", port), 9) == 0


@pytest.mark.parametrize("total", [1, 2, 3])
def test_with_very_few_permits_each_new_client_gets_one(total: int):
    made = permits(total)
    for number in range(total):
        assert made.shortfall(Peer(f"a{number}"), 1) == 0
        made.acquire(Peer(f"a{number}"), 1)
    assert made.shortfall(OTHER, 1) == 1


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
def test_how_many_inputs_are_answered_until_a_request_is(held: dict[str, int], peer: Peer, inputs: int, ahead: int):
    """With turns, other clients delay a request by at most its own number of inputs each."""
    assert permits(**held).inputs_until_answered(peer, inputs) == ahead


def test_within_an_address_connections_take_turns():
    made = Permits(100)
    made.acquire(Peer("proxy", 1), 90)
    assert made.inputs_until_answered(Peer("proxy", 2), 2) == 4


def test_an_owner_with_ten_keys_has_one_share_and_its_keys_share_alike():
    keys = [OTHER.with_key("acme", f"key{n}", 5) for n in range(10)]
    made = permits(800)
    fill(made, *keys)
    share = round(MAX_SHARE * 800)
    assert 0.95 * share < made.in_use <= share
    held = [made._held[("acme", key.key)] for key in keys]
    assert max(held) - min(held) <= 1
    one = THIRD.with_key("bolt", "only", 5)
    made = permits(800)
    fill(made, *keys, one)
    assert made._held["bolt"] >= MAX_SHARE**3 * (800 - made._held["acme"]) - 2, "each level keeps an eighth"


def test_those_of_a_higher_priority_are_answered_first():
    made = Permits(100)
    for _ in range(8):
        made.acquire(HOG.with_key("acme", "k", 9), 5)
    low, high = OTHER.with_key("bolt", "l", 1), OTHER.with_key("bolt", "h", 9)
    assert made.inputs_until_answered(low, 2) == 42
    assert made.inputs_until_answered(high, 2) == 4
    made.acquire(HOG, 20)
    made.acquire(low, 1)
    assert made.inputs_until_answered(low, 2) == 63
    assert made.inputs_until_answered(OTHER, 2) == 48


steady = settings(deadline=None)
without_key = st.tuples(st.sampled_from("abcd"), st.integers(0, 3)).map(lambda place: Peer(*place))
with_key = st.builds(
    Peer.with_key, without_key, st.sampled_from("xy"), st.sampled_from(["k1", "k2"]), st.integers(0, 9)
)
peers = without_key | with_key
requests = st.lists(st.tuples(peers, st.integers(0, 40), st.integers(1, 3)), min_size=1, max_size=60)


def play(made: Permits, asked: list[tuple[Peer, int, int]]) -> Iterator[None]:
    """One client arrives per second, and holds what it gets for some seconds."""
    held: list[tuple[int, Peer, int]] = []
    for now, (peer, inputs, seconds) in enumerate(asked):
        for due in [entry for entry in held if entry[0] <= now]:
            made.release(*due[1:])
            held.remove(due)
        if not made.shortfall(peer, inputs):
            made.acquire(peer, inputs)
            held.append((now + seconds, peer, inputs))
        assert made.in_use == sum(inputs for _, _, inputs in held) <= made.total
        yield
    for _, peer, inputs in held:
        made.release(peer, inputs)


@steady
@given(requests)
def test_all_permits_come_back(asked: list[tuple[Peer, int, int]]):
    made = Permits(50)
    for _ in play(made, asked):
        assert made.shortfall(Peer("new"), 50) <= 50
    assert made.shortfall(Peer("new"), 50) == 0
    assert (made._held, made._members, made._unusual) == ({}, {}, {})


@steady
@given(st.integers(1, 8), st.integers(1, 60), st.sampled_from(["addresses", "connections"]))
def test_repeated_lists_do_not_exclude_a_client_with_one_input(hogs: int, inputs: int, many: str):
    """Each greedy client sends again at once, before the other one."""
    made = Permits(512)
    greedy = [Peer(f"hog{n}") if many == "addresses" else Peer("hog", n) for n in range(hogs)]
    for _ in range(4):
        fill(made, *greedy, inputs=inputs)
        assert made.shortfall(Peer("modest"), 1) == 0
        for peer in greedy:
            if made._held.get(peer, 0) >= inputs:
                made.release(peer, inputs)
