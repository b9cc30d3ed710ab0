"""Limits of keys in one process, by a clock that the tests set."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.access.limits import DAY_S, INPUTS, REQUESTS, UNITS, LimitCounters
from inference.access.principal import ANYONE, Limits, Principal
from inference.access.window import Window
from inference.errors import LimitReached, PayloadTooLarge

NOON = 20_000 * DAY_S + DAY_S // 2


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def wall(self) -> float:
        return NOON + self.now - 1000.0


class Counting(LimitCounters):
    """With a clock of its own, and requests that end at once."""

    def __init__(self, time: Clock | None = None) -> None:
        self.time = time or Clock()
        super().__init__(lambda: self.time.now, self.time.wall)

    def refusal(self, principal: Principal, inputs: int = 1, units: int = 1) -> LimitReached | None:
        """Of one request, which takes as many units as were expected; ``None`` if it is let in."""
        try:
            with self.begin(principal) as used:
                used.take(inputs, units)
                used.settle(units)
        except LimitReached as error:
            return error
        return None

    def used(self, key: str = "k") -> tuple[int, int]:
        """Units of today, and inputs in flight."""
        counts = self.of_key(key)
        return counts.units_of_all, counts.in_flight


def limited(key: str = "k", **limits: float) -> Principal:
    return Principal(owner="acme", key=key, limits=Limits(**limits))  # type: ignore[arg-type]


@pytest.fixture
def counters() -> Counting:
    return Counting()


# Requests per minute

moments = st.lists(st.floats(0, 200).map(lambda second: second + 1000), max_size=60).map(sorted)


@given(moments, st.integers(1, 5))
def test_no_minute_has_more_requests_than_the_limit(asked: list[float], limit: int):
    counters, caller = Counting(), limited(requests_per_minute=limit)
    let_in: list[float] = []
    for moment in asked:
        counters.time.now = moment
        if counters.refusal(caller) is None:
            let_in.append(moment)
    for first in let_in:
        assert sum(first <= other < first + 60 for other in let_in) <= limit


@given(moments, st.integers(1, 5))
def test_who_keeps_to_the_limit_is_never_refused(asked: list[float], limit: int):
    """Within any 61 s: what was counted is forgotten after 60 to 61 s."""
    counters, caller = Counting(), limited(requests_per_minute=limit)
    sent: list[float] = []
    for moment in asked:
        if sum(other > moment - 61 for other in sent) < limit:
            sent.append(moment)
            counters.time.now = moment
            assert counters.refusal(caller) is None


@given(moments, st.integers(1, 5))
def test_after_retry_after_a_request_is_let_in(asked: list[float], limit: int):
    counters, caller = Counting(), limited(requests_per_minute=limit)
    for moment in asked:
        counters.time.now = max(moment, counters.time.now)
        if (refused := counters.refusal(caller)) is not None:
            assert refused.retry_after_s is not None
            assert 1 <= refused.retry_after_s <= 61
            counters.time.now += refused.retry_after_s
            assert counters.refusal(caller) is None


@given(moments)
def test_a_window_has_those_of_60_to_61_seconds(asked: list[float]):
    window = Window()
    for number, moment in enumerate(asked, 1):
        window.add(moment)
        before = asked[:number]
        assert sum(other > moment - 60 for other in before) <= window.number(moment)
        assert window.number(moment) <= sum(other > moment - 61 for other in before)
        assert len(window._counts) <= 61
    assert window.number(2000) == 0
    assert not window._counts


def test_what_is_said_to_a_request_too_many(counters: Counting):
    caller = limited(requests_per_minute=1)
    assert counters.refusal(caller) is None
    counters.time.now += 10.5
    refused = counters.refusal(caller)
    assert refused is not None
    assert (refused.status, refused.retry_after_s) == (429, 51)
    assert refused.message == "This key may send 1 request per minute; try again in 51 s."
    assert counters.refused == {REQUESTS: 1, UNITS: 0, INPUTS: 0}


def test_keys_are_counted_apart_and_refused_requests_not_at_all(counters: Counting):
    one, other = limited("one", requests_per_minute=2), limited("other", requests_per_minute=2)
    assert [bool(counters.refusal(one)) for _ in range(9)] == [False] * 2 + [True] * 7
    assert [bool(counters.refusal(other)) for _ in range(2)] == [False] * 2
    counters.time.now += 61
    assert counters.refusal(one) is None


def test_nothing_is_kept_of_who_has_no_limits(counters: Counting):
    for caller in (ANYONE, limited(), limited("other")):
        assert counters.refusal(caller, 1000, 10**9) is None
        assert list(counters.states(caller)) == []
    assert counters.keys == {}


# Units per day


def test_units_are_reserved_and_then_corrected(counters: Counting):
    caller = limited(units_per_day=100)
    with counters.begin(caller) as used:
        used.take(1, 60)
        assert counters.used() == (60, 1)
        assert counters.refusal(caller, units=41) is not None
        assert counters.refusal(caller, units=40) is None
        used.settle(10)
    assert counters.used() == (50, 0)


def test_units_are_given_back_if_nothing_was_done(counters: Counting):
    caller = limited(units_per_day=100)
    with counters.begin(caller) as used:
        used.take(3, 60)
    assert counters.used() == (0, 0)


def test_a_day_ends_at_midnight_in_utc(counters: Counting):
    caller = limited(units_per_day=100)
    assert counters.refusal(caller, units=100) is None
    refused = counters.refusal(caller)
    assert refused is not None
    assert refused.retry_after_s == DAY_S // 2
    assert refused.message == "This key may use 100 units per day, and 0 are left; try again in 43200 s."
    counters.time.now += DAY_S // 2
    assert counters.refusal(caller) is None
    assert counters.used() == (1, 0)


def test_what_is_under_way_at_midnight_counts_on_the_day_on_which_it_ends(counters: Counting):
    caller = limited(units_per_day=100)
    with counters.begin(caller) as used:
        used.take(1, 60)
        counters.time.now += DAY_S // 2
        assert counters.refusal(limited("other", units_per_day=1)) is None
        used.settle(70)
    assert counters.used() == (70, 0)


def test_a_request_larger_than_a_day_is_let_in_while_nothing_is_used(counters: Counting):
    """How large it is, is a guess; otherwise a key with a small limit could never ask."""
    caller = limited(units_per_day=100)
    assert counters.refusal(caller, units=1000) is None
    assert counters.refusal(caller, units=1000) is not None


def test_a_new_process_begins_with_what_the_database_has(counters: Counting):
    caller, day = limited(units_per_day=100), counters.day
    assert counters.refusal(caller, units=5) is None
    counters.at_least(day, {"k": 90, "other": 7})
    assert (counters.used(), counters.used("other")) == ((90, 0), (7, 0)), "what was counted here is in it"
    assert counters.refusal(caller, units=11) is not None
    counters.at_least(day - 1, {"k": 1000})
    assert counters.refusal(caller, units=10) is None


# Inputs in flight


def test_inputs_in_flight_are_those_of_all_requests(counters: Counting):
    caller = limited(inputs_in_flight=3)
    with counters.begin(caller) as used:
        used.take(2, 2)
        assert counters.refusal(caller, 1) is None
        refused = counters.refusal(caller, 2)
        assert refused is not None
        assert refused.message == "This key may have 3 inputs in flight; try again in 1 s."
        assert counters.used()[1] == 2
    assert counters.refusal(caller, 3) is None


def test_more_inputs_than_may_ever_be_in_flight_are_too_large_a_request(counters: Counting):
    with pytest.raises(PayloadTooLarge, match="There are 4 inputs; this key may have 3 in flight"):
        counters.refusal(limited(inputs_in_flight=3), 4)
    assert counters.used() == (0, 0)


# All together


@settings(max_examples=40)
@given(st.data())
def test_no_limit_is_passed_and_all_that_is_taken_comes_back(data: st.DataObject):
    """Requests of three keys begin and end at any time, as expected, better, worse or not at all."""
    counters = Counting()
    callers = [limited(key, inputs_in_flight=4, units_per_day=50) for key in "abc"]
    settled, running = Counter[str](), Counter[str]()
    with ExitStack() as all_of_them:
        open_ones: list[tuple[str, int, int, ExitStack]] = []
        for _ in range(data.draw(st.integers(1, 40))):
            if data.draw(st.booleans()) and open_ones:
                data.draw(st.randoms()).shuffle(open_ones)
                key, inputs, units, request = open_ones.pop()
                request.close()
                running[key] -= inputs
                settled[key] += units
            else:
                caller = data.draw(st.sampled_from(callers))
                inputs, expected, units = (data.draw(st.integers(1, 4)) for _ in range(3))
                request = all_of_them.enter_context(ExitStack())
                try:
                    used = request.enter_context(counters.begin(caller))
                    used.take(inputs, expected)
                except LimitReached:
                    request.close()
                    continue
                used.settle(units)
                running[caller.key] += inputs
                open_ones.append((caller.key, inputs, units, request))
            for caller in callers:
                assert counters.used(caller.key)[1] == running[caller.key] <= 4
    for caller in callers:
        rest = sum(units for key, _, units, _ in open_ones if key == caller.key)
        assert counters.used(caller.key) == (settled[caller.key] + rest, 0)


def test_what_is_left_is_told(counters: Counting):
    caller = limited(requests_per_minute=10, units_per_day=1000)
    counters.refusal(caller, units=300)
    counters.time.now += 5
    requests, units = counters.states(caller)
    assert requests == (REQUESTS, 10, 9, 56, 60)
    assert units == (UNITS, 1000, 700, DAY_S // 2 - 5, DAY_S)


def test_keys_that_nobody_uses_are_forgotten_with_the_day(counters: Counting):
    with counters.begin(limited("busy", inputs_in_flight=3)) as used:
        used.take(1, 1)
        for n in range(50):
            counters.refusal(limited(f"key{n}", requests_per_minute=1))
        assert len(counters.keys) == 51
        counters.time.now += DAY_S
        counters.begin_day()
        assert set(counters.keys) == {"busy"}
    assert counters.used("busy") == (0, 0)


def spread(number: int) -> Iterator[float]:
    yield from (1000 + 60 * n / number for n in range(number))


def test_ten_times_the_limit_for_ten_minutes_gets_ten_times_the_limit_at_most(counters: Counting):
    caller, let_in = limited(requests_per_minute=60), 0
    for minute in range(10):
        for moment in spread(600):
            counters.time.now = moment + 60 * minute
            let_in += counters.refusal(caller) is None
    assert 580 <= let_in <= 600
