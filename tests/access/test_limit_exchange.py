"""Limits of keys in several processes, which share a hash that may fail; by a clock that the tests set."""

import asyncio
import math
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.access.limit_exchange import GONE_AFTER, PERIOD_S, RECENT_S, REMOVED_AFTER, LimitExchange
from tests.access.test_limits import Clock, Counting, limited

LIMIT = 60


class Hash:
    """What ``SharedValues`` does with Redis."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.works = True

    def of(self, member: str) -> "Field":
        return Field(self, member)


class Field:
    def __init__(self, shared: Hash, member: str) -> None:
        self._shared, self._member = shared, member

    async def exchange(self, value: bytes) -> dict[str, bytes]:
        if not self._shared.works:
            raise ConnectionError
        self._shared.values[self._member] = value
        return dict(self._shared.values)

    async def remove(self, *members: str) -> None:
        for member in members:
            self._shared.values.pop(member, None)


class Webs:
    """Some processes with one clock and one hash."""

    def __init__(self, number: int) -> None:
        self.time, self.shared = Clock(), Hash()
        self.counters: list[Counting] = []
        self.exchanges: list[LimitExchange] = []
        for _ in range(number):
            self.add()
        self.exchange()
        self.exchange()

    def add(self, used_today: Mapping[str, int] | None = None) -> Counting:
        counters, member = Counting(self.time), f"web{len(self.counters)}"
        read = None if used_today is None else lambda day: used_today
        self.counters.append(counters)
        self.exchanges.append(LimitExchange(counters, member, self.shared.of(member), read))
        return counters

    def exchange(self) -> None:
        """Each once, one after the other."""

        async def all_of_them() -> None:
            for exchange in self.exchanges:
                await exchange.once()

        asyncio.run(all_of_them())

    def wait(self, seconds: float) -> None:
        self.time.now += seconds
        self.exchange()


def test_what_one_counts_is_known_to_the_others_after_two_exchanges():
    webs, caller = Webs(2), limited(requests_per_minute=LIMIT, units_per_day=1000)
    for _ in range(10):
        assert webs.counters[0].refusal(caller, units=20) is None
    webs.wait(PERIOD_S)
    webs.wait(PERIOD_S)
    requests, units = webs.counters[1].states(caller)
    assert (requests.left, units.left) == (LIMIT - 10, 800)
    for _ in range(5):
        webs.wait(PERIOD_S)
    requests, units = webs.counters[1].states(caller)
    assert (requests.left, units.left) == (LIMIT - 10, 800), "counted once"
    webs.wait(61)
    assert next(webs.counters[1].states(caller)).left == LIMIT


def test_inputs_in_flight_are_those_of_all_processes_that_run():
    webs, caller = Webs(2), limited(inputs_in_flight=3)
    with webs.counters[0].begin(caller) as used:
        used.take(2, 1)
        webs.wait(PERIOD_S)
        assert webs.counters[1].refusal(caller, 2) is not None
        assert webs.counters[1].refusal(caller, 1) is None
        del webs.exchanges[0]  # its process is killed
        for _ in range(GONE_AFTER + 1):
            webs.wait(PERIOD_S)
        assert webs.counters[1].refusal(caller, 3) is None
        for _ in range(REMOVED_AFTER):
            webs.wait(PERIOD_S)
    assert list(webs.shared.values) == ["web1"]


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_without_contact_each_has_its_part(number: int):
    webs, caller = Webs(number), limited(requests_per_minute=LIMIT, units_per_day=1000, inputs_in_flight=LIMIT)
    assert webs.counters[0].refusal(caller, units=300) is None
    webs.wait(PERIOD_S)
    webs.wait(61)
    webs.shared.works = False
    webs.wait(PERIOD_S)
    let_in, units = 0, 0
    for counters in webs.counters:
        while counters.refusal(caller) is None:
            let_in += 1
        units += next(state.left for state in counters.states(caller) if state.window_s > 60)
    assert let_in == LIMIT // number * number
    assert units + let_in <= 700
    assert units + let_in >= 700 - number
    webs.shared.works = True
    webs.wait(PERIOD_S)
    webs.wait(PERIOD_S)
    assert all(next(counters.states(caller)).left == LIMIT - let_in for counters in webs.counters)


def test_a_limit_below_the_number_of_processes_leaves_each_one():
    webs, caller = Webs(3), limited(requests_per_minute=2, inputs_in_flight=1)
    webs.shared.works = False
    webs.wait(PERIOD_S)
    assert [bool(counters.refusal(caller)) for counters in webs.counters for _ in range(2)] == [False, True] * 3


def test_after_a_long_loss_of_contact_requests_of_long_ago_do_not_count():
    webs, caller = Webs(2), limited(requests_per_minute=LIMIT)
    webs.shared.works = False
    for _ in range(30):
        webs.wait(62)
        for _ in range(LIMIT // 2):
            webs.counters[0].refusal(caller)
    webs.shared.works = True
    webs.wait(PERIOD_S)
    webs.wait(PERIOD_S)
    left = next(webs.counters[1].states(caller)).left
    assert LIMIT // 2 - 2 <= left <= LIMIT // 2


def test_a_process_that_starts_begins_with_the_database_and_counts_nothing_twice():
    webs, caller = Webs(1), limited(units_per_day=1000)
    webs.counters[0].refusal(caller, units=100)
    webs.wait(PERIOD_S)
    started = webs.add({"k": 250, "idle": 3})  # 150 of which are of processes that have ended
    webs.wait(PERIOD_S)
    assert started.used() == (250, 0)
    assert started.used("idle") == (3, 0)
    webs.counters[0].refusal(caller, units=10)
    webs.wait(PERIOD_S)
    webs.wait(PERIOD_S)
    assert started.used() == (260, 0)


def test_a_process_that_starts_later_is_counted_from_its_start():
    webs, caller = Webs(1), limited(units_per_day=1000, requests_per_minute=LIMIT)
    webs.add({}).refusal(caller, units=7)
    webs.wait(PERIOD_S)
    webs.wait(PERIOD_S)
    assert webs.counters[0].used() == (7, 0)
    assert next(webs.counters[0].states(caller)).left == LIMIT - 1


def test_after_a_long_loss_of_contact_the_database_is_asked_again():
    webs, used, caller = Webs(1), {"k": 0}, limited(units_per_day=1000)
    started = webs.add(used)
    webs.wait(PERIOD_S)
    webs.shared.works = False
    webs.wait(PERIOD_S)
    webs.counters[0].refusal(caller, units=500)
    webs.time.now += RECENT_S + 1  # it is not told of any more
    used["k"] = 500
    webs.shared.works = True
    for _ in range(3):
        webs.wait(PERIOD_S)
    assert started.used() == (500, 0)


def test_the_day_of_the_others_may_begin_later():
    webs, caller = Webs(2), limited(units_per_day=1000)
    webs.counters[0].refusal(caller, units=900)
    webs.wait(PERIOD_S)
    webs.wait(PERIOD_S)
    webs.time.now += 86_400
    assert webs.counters[1].used() == (0, 0)
    webs.counters[0].refusal(caller, units=5)
    webs.wait(PERIOD_S)
    webs.wait(PERIOD_S)
    assert webs.counters[1].used() == (5, 0)


def test_requests_are_told_also_of_keys_that_were_forgotten_at_midnight():
    webs, caller = Webs(2), limited(requests_per_minute=LIMIT)
    for _ in range(2):
        for _ in range(LIMIT // 2):
            webs.counters[0].refusal(caller)
        webs.wait(PERIOD_S)
        webs.wait(PERIOD_S)
        assert next(webs.counters[1].states(caller)).left == LIMIT // 2
        webs.wait(61)
        webs.wait(86_400)


def test_a_process_whose_day_begins_a_moment_later_misses_nothing():
    webs, caller = Webs(1), limited(units_per_day=1000)
    late = Clock()
    webs.counters.append(Counting(late))
    webs.exchanges.append(LimitExchange(webs.counters[1], "late", webs.shared.of("late")))
    webs.counters[1].refusal(caller, units=300)
    for moment in (-1.0, 0.0):
        webs.time.now, late.now = 1000.0 + 43_200 + moment, 1000.0 + 43_199
        webs.exchange()
    webs.counters[0].refusal(caller, units=70)
    webs.exchange()
    late.now += 1
    webs.exchange()
    webs.exchange()
    assert (webs.counters[0].used(), webs.counters[1].used()) == ((70, 0), (70, 0))


def test_what_a_process_of_another_release_tells_is_ignored():
    webs, caller = Webs(1), limited(requests_per_minute=LIMIT)
    webs.shared.values["other"] = msgspec.msgpack.encode({"another": "form"})
    webs.wait(PERIOD_S)
    assert webs.counters[0].refusal(caller) is None


@settings(max_examples=25)
@given(st.data())
def test_a_process_passes_a_limit_only_for_what_others_let_in_since_the_exchange_before_the_last(data: st.DataObject):
    number = data.draw(st.integers(2, 4))
    webs, caller = Webs(number), limited(requests_per_minute=LIMIT)
    let_in: list[tuple[float, int]] = []
    for _ in range(data.draw(st.integers(1, 40))):
        since = webs.time.now - PERIOD_S
        for _ in range(data.draw(st.integers(0, 30))):
            web = data.draw(st.integers(0, number - 1))
            if webs.counters[web].refusal(caller) is None:
                let_in.append((webs.time.now, web))
                in_a_minute = sum(moment > webs.time.now - 60 for moment, _ in let_in)
                unknown = sum(moment >= since and other != web for moment, other in let_in)
                assert in_a_minute - unknown <= LIMIT
        webs.wait(PERIOD_S)


@pytest.mark.parametrize("number", [2, 5])
def test_ten_times_over_the_limit_at_several_processes(number: int):
    webs, caller, let_in = Webs(number), limited(requests_per_minute=600), 0
    per_step = math.ceil(10 * 600 / 60 * PERIOD_S / number)
    for _ in range(120):
        let_in += sum(counters.refusal(caller) is None for counters in webs.counters for _ in range(per_step))
        webs.wait(PERIOD_S)
    assert 600 <= let_in <= 600 + number * per_step / PERIOD_S


def test_the_task_ends_where_there_is_nothing_to_exchange():
    async def run() -> bool:
        exchange = LimitExchange(Counting(), "alone", None)
        exchange.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert exchange._task is not None
        ended = exchange._task.done()
        await exchange.stop()
        return ended

    assert asyncio.run(run())
