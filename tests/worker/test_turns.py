"""Which pipeline of a host uses its threads next. Time is virtual: it passes where a test says so."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.worker.executors import Executors, ThreadExecutor
from inference.worker.turns import SHARE_WINDOW_S, Share, Turns
from tests.virtual_time import run, stand_still
from tests.worker.bench import VirtualThread, steady

Play = Callable[["Table"], Coroutine[Any, Any, None]]


class Player:
    """A pipeline with batches that wait; each takes as long as it says, and is predicted as it says."""

    def __init__(self, table: "Table", name: str, weight: float) -> None:
        self.name = name
        self.share = table.turns.join(weight)
        self.share.start, self.share.has_work = self.start, lambda: bool(self.waiting or self.running)
        self.waiting: list[tuple[float, float, bool]] = []
        self.running: list[ThreadExecutor] = []
        self._table = table

    def add(self, ms: float, count: int = 1, *, predicted_ms: float | None = None, narrow: bool = False) -> None:
        self.waiting += [(ms, ms if predicted_ms is None else predicted_ms, narrow)] * count

    def start(self) -> bool:
        while self.waiting:
            ms, predicted_ms, narrow = self.waiting[0]
            if (thread := self.share.free(narrow=narrow)) is None:
                return False
            self.waiting.pop(0)
            self.running.append(thread)
            self._table.started.append(self.name)
            self.share.take(thread, predicted_ms)
            asyncio.get_running_loop().call_later(ms / 1000, self._end, thread)
        return True

    def _end(self, thread: ThreadExecutor) -> None:
        self.running.remove(thread)
        self.share.give_back(thread)


class Table:
    """A host's threads, and the pipelines that take turns on them."""

    def __init__(self, narrow: int) -> None:
        self.executors = Executors(VirtualThread(), VirtualThread(), [VirtualThread() for _ in range(narrow)])
        self.turns = Turns(self.executors)
        self.started: list[str] = []
        """By whom each batch was, in order."""

    def player(self, name: str, weight: float = 1.0) -> Player:
        return Player(self, name, weight)

    def share(self, *, has_work: bool = True, weight: float = 1.0) -> Share:
        """One without a runner; the test takes and gives back itself."""
        share = self.turns.join(weight)
        share.has_work = lambda: has_work
        return share


def play(scenario: Play, narrow: int = 0) -> Table:
    async def main() -> Table:
        table = Table(narrow)
        await scenario(table)
        return table

    return run(main())


def use(share: Share, seconds: float, predicted_ms: float = 0.0, thread: ThreadExecutor | None = None) -> None:
    """A batch that takes so long, while nothing else happens."""
    taken = thread or share.executors.wide
    share.take(taken, predicted_ms)
    stand_still(seconds)
    share.give_back(taken)


# Whose turn it is


def test_two_with_equal_batches_alternate():
    async def scenario(t: Table) -> None:
        a, b = t.player("a"), t.player("b")
        a.add(10, 4)
        b.add(10, 4)
        t.turns.look()
        await asyncio.sleep(1)

    assert play(scenario).started == ["a", "b"] * 4


def test_who_has_longer_batches_has_fewer():
    async def scenario(t: Table) -> None:
        a, b = t.player("a"), t.player("b")
        a.add(30, 10)
        b.add(10, 30)
        t.turns.look()
        await asyncio.sleep(0.239)

    started = play(scenario).started
    assert started.count("b") == 3 * started.count("a")
    assert "b" * 4 not in "".join(started)


def test_time_is_what_was_measured_whatever_was_predicted():
    """One predicts nothing and takes long, the other predicts far too much: still each gets half."""

    async def scenario(t: Table) -> None:
        a, b = t.player("a"), t.player("b")
        a.add(40, 20, predicted_ms=0)
        b.add(20, 40, predicted_ms=200)
        t.turns.look()
        await asyncio.sleep(0.8)

    started = play(scenario).started
    assert started.count("a") * 40 == pytest.approx(started.count("b") * 20, abs=40)


def test_a_prediction_counts_until_it_is_corrected():
    async def scenario(t: Table) -> None:
        a, b = t.share(), t.share()
        before = a.start_tag
        a.take(t.executors.wide, 100)
        during, others = a.start_tag, b.start_tag
        stand_still(0.03)
        a.give_back(t.executors.wide)
        assert during == pytest.approx(before + 0.1)
        assert others == before
        assert a.start_tag == pytest.approx(before + 0.03)

    play(scenario)


def test_twice_the_weight_gets_twice_the_time():
    async def scenario(t: Table) -> None:
        a, b = t.player("a", weight=2), t.player("b")
        a.add(10, 100)
        b.add(10, 100)
        t.turns.look()
        await asyncio.sleep(0.6)

    started = play(scenario).started
    assert started.count("a") == pytest.approx(2 * started.count("b"), abs=2)


def test_who_was_idle_gets_no_credit_for_it():
    async def scenario(t: Table) -> None:
        a, b = t.player("a"), t.player("b")
        a.add(10, 200)
        b.add(10, 1)
        t.turns.look()
        await asyncio.sleep(1)
        t.started.clear()
        b.add(10, 20)  # it would have a second of time to make up for
        await asyncio.sleep(0.2)

    started = play(scenario).started
    assert started[:2] in (["b", "a"], ["a", "b"])
    assert abs(started.count("a") - started.count("b")) <= 1


def test_who_comes_while_another_has_used_much_waits_for_one_batch_only():
    async def scenario(t: Table) -> None:
        a, b = t.player("a"), t.player("b")
        a.add(10, 50)
        t.turns.look()
        await asyncio.sleep(0.305)
        t.started.clear()
        b.add(10)
        t.turns.look()
        await asyncio.sleep(0.05)

    assert play(scenario).started[0] == "b"


def test_alone_one_runs_without_gaps():
    async def scenario(t: Table) -> None:
        a, _ = t.player("a"), t.player("b")
        a.add(10, 20)
        t.turns.look()
        await asyncio.sleep(0.201)
        assert not a.waiting
        assert not a.running

    play(scenario)


@steady
@given(
    st.lists(st.tuples(st.sampled_from([1.0, 1.0, 2.0, 0.5]), st.integers(1, 50)), min_size=2, max_size=4),
    st.sampled_from([0, 2]),
)
def test_whoever_has_work_gets_its_part_of_the_time(players: list[tuple[float, int]], narrow: int):
    """Up to a batch of each, which nobody interrupts."""

    async def scenario(t: Table) -> None:
        made = [t.player(str(number), weight) for number, (weight, _) in enumerate(players)]
        for player, (_, ms) in zip(made, players, strict=True):
            player.add(ms, 10_000 // ms, narrow=bool(narrow))
        t.turns.look()
        await asyncio.sleep(5)
        assert all(player.waiting for player in made)
        tags = [player.share.start_tag for player in made]
        longest = max(ms / weight for weight, ms in players)
        assert max(tags) - min(tags) <= 2 * longest + 1e-6

    play(scenario, narrow)


# Wide and narrow


def test_who_is_next_and_needs_all_cores_lets_nobody_take_a_part_of_them():
    async def scenario(t: Table) -> None:
        a, b = t.player("a"), t.player("b")
        a.add(10, 100, narrow=True)
        t.turns.look()
        await asyncio.sleep(0.1)
        t.started.clear()
        b.add(10)
        await asyncio.sleep(0.05)

    assert "".join(play(scenario, narrow=2).started).index("b") <= 2


def test_batches_side_by_side_divide_the_time():
    """The core beside a batch that is left alone is paid by whoever has that batch."""

    async def scenario(t: Table) -> None:
        a, b = t.share(), t.share()
        one, other = t.executors.narrow
        a.take(one)
        b.take(other)
        stand_still(0.04)
        a.give_back(one)
        stand_still(0.01)
        b.give_back(other)
        assert (a.start_tag, b.start_tag) == pytest.approx((0.02, 0.03))

    play(scenario, narrow=2)


def test_two_that_run_side_by_side_are_both_at_work():
    async def scenario(t: Table) -> None:
        a, b = t.player("a"), t.player("b")
        a.add(10, 1, narrow=True)
        b.add(10, 1, narrow=True)
        t.turns.look()
        assert (len(a.running), len(b.running)) == (1, 1)
        await asyncio.sleep(0.02)

    play(scenario, narrow=2)


# Waiting for the turn


def test_the_turn_comes_when_the_thread_is_free_and_then_it_is_taken():
    async def scenario(t: Table) -> None:
        a, b = t.player("a"), t.share()
        a.add(30)
        t.turns.look()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await b.turn(10)
        assert loop.time() - began == pytest.approx(0.03)
        assert t.executors.free(narrow=False) is None
        b.give_back(t.executors.wide)
        assert t.executors.free(narrow=False) is t.executors.wide

    play(scenario)


def test_two_that_ask_for_one_turn_after_the_other_alternate():
    async def scenario(t: Table) -> None:
        async def ask(name: str) -> None:
            share = t.share()
            for _ in range(3):
                await share.turn()
                t.started.append(name)
                await asyncio.sleep(0.01)
                share.give_back(t.executors.wide, look=False)
            t.turns.look()

        await asyncio.gather(ask("a"), ask("b"))

    assert play(scenario).started == ["a", "b"] * 3


def test_who_does_not_wait_any_more_gets_no_turn():
    async def scenario(t: Table) -> None:
        a, b = t.player("a"), t.share()
        a.add(30, 2)
        t.turns.look()
        waiting = asyncio.create_task(b.turn())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await asyncio.sleep(0.1)
        assert t.executors.free(narrow=False) is t.executors.wide

    assert play(scenario).started == ["a", "a"]


def test_a_turn_that_comes_together_with_the_cancellation_goes_to_the_next():
    async def scenario(t: Table) -> None:
        a, b, c = t.share(), t.share(), t.share()
        a.take(t.executors.wide)
        first, second = asyncio.create_task(b.turn()), asyncio.create_task(c.turn())
        await asyncio.sleep(0)
        a.give_back(t.executors.wide)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        await asyncio.wait_for(second, 1)
        c.give_back(t.executors.wide)
        assert t.executors.free(narrow=False) is t.executors.wide

    play(scenario)


def test_who_leaves_is_asked_no_more_and_keeps_nobody_waiting():
    async def scenario(t: Table) -> None:
        a, b, c = t.share(), t.player("b"), t.player("c")
        a.take(t.executors.wide)
        b.add(10)
        c.add(10)
        t.turns.look()
        a.give_back(t.executors.wide, look=False)
        t.turns.leave(b.share)
        await asyncio.sleep(0.1)

    assert play(scenario).started == ["c"]


# Whether others want it, and how much one gets


def test_one_is_contended_while_another_has_work():
    async def scenario(t: Table) -> None:
        a, b = t.player("a"), t.player("b")
        seen = [(a.share.contended, b.share.contended)]
        a.add(10, 2)
        t.turns.look()
        seen.append((a.share.contended, b.share.contended))
        b.add(10)
        seen.append((a.share.contended, b.share.contended))
        await asyncio.sleep(0.1)
        seen.append((a.share.contended, b.share.contended))
        assert seen == [(False, False), (False, True), (True, True), (False, False)]

    play(scenario)


def test_the_only_one_gets_everything():
    async def scenario(t: Table) -> None:
        a = t.share()
        assert a.measure() == 1.0
        use(a, 0.5)
        assert a.measure() == 1.0

    play(scenario)


def test_what_another_takes_while_one_has_no_work_is_no_loss():
    async def scenario(t: Table) -> None:
        a, b = t.share(has_work=False), t.share()
        use(b, 0.5)
        assert a.measure() == 1.0

    play(scenario)


def test_two_that_both_have_work_get_their_parts():
    async def scenario(t: Table) -> None:
        a, b = t.share(weight=3), t.share()
        for _ in range(10):
            use(a, 0.03)
            use(b, 0.01)
        assert a.measure() == pytest.approx(0.75)
        assert b.measure() == pytest.approx(0.25)

    play(scenario)


def test_whoever_has_just_begun_to_want_time_has_what_its_weight_guarantees():
    async def scenario(t: Table) -> None:
        a, b = t.share(), t.share(weight=3)
        use(a, 2.0)
        assert b.measure() == pytest.approx(0.75)

    play(scenario)


def test_side_by_side_each_has_its_part_of_the_time():
    async def scenario(t: Table) -> None:
        a, b = t.share(), t.share(weight=3)
        a.take(t.executors.narrow[0])
        b.take(t.executors.narrow[1])
        stand_still(0.04)
        a.give_back(t.executors.narrow[0])
        b.give_back(t.executors.narrow[1])
        assert a.measure() == pytest.approx(1 / 2)

    play(scenario, narrow=2)


def test_a_runner_of_one_batch_has_a_part_of_the_cores_while_another_pipeline_has_work():
    async def scenario(t: Table) -> None:
        a, b = t.share(), t.share(has_work=False)
        assert await a.turn(narrow=True) is t.executors.wide
        a.give_back(t.executors.wide)
        b.has_work = lambda: True
        assert await a.turn(narrow=True) in t.executors.narrow
        other = await b.turn(narrow=True)
        assert other in t.executors.narrow

    play(scenario, narrow=2)


def test_what_is_measured_is_of_late():
    async def scenario(t: Table) -> None:
        a, b = t.share(), t.share()
        use(b, 1)
        for _ in range(100):
            stand_still(SHARE_WINDOW_S / 10)
            use(a, 0.01)
            last = a.measure()
        assert last > 0.99
        stand_still(2 * SHARE_WINDOW_S)
        a.measure()
        use(b, 0.01)
        use(a, 0.01)
        assert a.measure() == pytest.approx(0.5)

    play(scenario)


def test_measuring_more_often_changes_nothing():
    async def scenario(t: Table) -> None:
        a, b = t.share(), t.share()
        use(a, 0.03)
        use(b, 0.01)
        assert [a.measure() for _ in range(5)] == pytest.approx([0.75] * 5)

    play(scenario)
