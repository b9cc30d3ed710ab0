from typing import Any

import msgspec
import pytest

from inference.messaging.messages import CostModel, Description, Status, Totals
from inference.scheduling.worker_registry import SILENT_PERIODS, Record, Roster, WorkerView

DESCRIPTION = Description(
    task="fill-mask",
    model="a/model",
    revision="",
    device="cpu",
    dtype="float32",
    threads=1,
    vocabulary=100,
    mask_token="[MASK]",
    longest_input=10,
    longest_input_chars=100,
)


def status(worker: str = "w", **fields: Any) -> Status:
    known: dict[str, Any] = {
        "worker": worker,
        "channel": f"inference.worker.{worker}",
        "heard": 1,
        "state": "ready",
        "description": DESCRIPTION,
        "queue_depth": 0,
        "cost": None,
        "job_ms": 0.0,
        "totals": Totals(),
        "webs": 1,
        "credit": 4,
        "held": (),
    }
    return Status(**(known | fields))


def meet(roster: Roster, worker: str = "w", **fields: Any) -> WorkerView:
    """A worker that has said so much."""
    word = status(worker, **fields)
    view = roster.meet(word)
    view.heard = True
    view.update(word)
    return view


@pytest.fixture
def roster() -> Roster:
    return Roster()


# Who is there


def test_a_worker_appears_with_its_first_status(roster: Roster):
    worker = meet(roster)
    assert (worker.id, worker.channel) == ("w", "inference.worker.w")
    assert list(roster) == [worker]
    assert roster.get("w") is worker


def test_a_worker_is_met_once(roster: Roster):
    assert meet(roster) is meet(roster)
    assert len(roster) == 1


def test_a_worker_of_which_only_the_name_is_known_is_not_sent_anything(roster: Roster):
    worker = roster.meet(status())
    assert (worker.state, worker.ceiling, worker.queue_depth, worker.webs) == ("starting", 0, 0, 1)
    assert (worker.cost, worker.job_ms, worker.totals) == (None, 0, Totals())
    assert not any((worker.ready, worker.closed, worker.sending, worker.has_words))
    assert roster.freest("") is None


def test_a_worker_that_was_just_met_has_spoken_in_this_period(roster: Roster):
    worker = roster.meet(status())
    assert end_silent_periods(roster, 3) == []
    assert end_silent_periods(roster, 1) == [worker]


def test_a_record_begins_with_a_send_under_way_and_without_go():
    assert Record() == Record(stamp=None, went=False)


def test_an_unknown_worker_is_none(roster: Roster):
    assert roster.get("nobody") is None


def test_a_removed_worker_is_gone_and_may_be_removed_again(roster: Roster):
    worker = meet(roster)
    roster.remove(worker)
    roster.remove(worker)
    assert roster.get("w") is None
    assert not len(roster)


def test_only_ready_workers_are_counted_as_ready(roster: Roster):
    for state in ("starting", "ready", "draining", "stopped", "ready"):
        meet(roster, f"{state}{len(roster)}", state=state)
    roster.look(0.0)
    assert len(roster.serving()) == 2
    assert roster.serving() == roster.ready_for("")


def test_what_is_served_is_known_from_the_first_worker_that_is_ready(roster: Roster):
    meet(roster, "a", state="starting", description=None)
    roster.look(0.0)
    assert (roster.description, roster.serving()) == (None, [])
    b = meet(roster, "b")
    meet(roster, "c", state="starting", description=None)
    roster.look(0.0)
    assert (roster.description, roster.serving()) == (DESCRIPTION, [b])


def test_what_was_served_is_remembered_when_the_last_worker_is_gone(roster: Roster):
    worker = meet(roster)
    roster.look(0.0)
    roster.remove(worker)
    roster.look(100.0)
    assert roster.description == DESCRIPTION


def test_workers_that_serve_something_else_are_told_apart(roster: Roster):
    same, other = meet(roster, "a"), meet(roster, "b", description=msgspec.structs.replace(DESCRIPTION, version="2"))
    roster.look(0.0)
    assert (roster.serving(), roster.others()) == ([same], [other])
    assert (roster.freest(""), roster.freest("2"), roster.freest("3")) == (same, other, None)


def test_what_a_worker_did_before_it_was_lost_counts_once(roster: Roster):
    worker = meet(roster, totals=Totals(1, 2, 3, 4))
    roster.remove(worker)
    assert roster.meet(status()).totals == Totals(1, 2, 3, 4)


def test_a_status_is_taken_over(roster: Roster):
    worker = meet(roster, state="draining", cost=CostModel(1.0, 2.0, 3.0), credit=7, queue_depth=5, webs=3)
    assert (worker.state, worker.cost, worker.ceiling) == ("draining", CostModel(1.0, 2.0, 3.0), 7)
    assert (worker.queue_depth, worker.webs, worker.description) == (5, 3, DESCRIPTION)


def test_what_a_worker_has_done_is_taken_over_and_is_its_own(roster: Roster):
    worker = meet(roster, "a", job_ms=2.5, totals=Totals(1, 2, 3, 4))
    other = meet(roster, "b")
    assert (worker.job_ms, worker.totals) == (2.5, Totals(1, 2, 3, 4))
    assert (other.job_ms, other.totals) == (0, Totals())
    assert meet(roster, "a", job_ms=1.5, totals=Totals(2, 3, 4, 5)).totals == Totals(2, 3, 4, 5)
    assert worker.job_ms == 1.5


def test_a_status_without_a_description_keeps_the_last_one(roster: Roster):
    meet(roster)
    assert meet(roster, state="stopped", description=None).description == DESCRIPTION


# Credit


def test_records_use_credit(roster: Roster):
    worker = meet(roster, credit=3)
    worker.records = {1: Record(), 2: Record()}
    assert worker.credit == 1


@pytest.mark.parametrize("state", ["starting", "draining", "stopped"])
def test_a_worker_that_is_not_ready_has_no_credit(roster: Roster, state: str):
    assert meet(roster, state=state, credit=3).credit == 0


def test_a_silent_worker_gets_nothing_until_it_is_heard(roster: Roster):
    """What it were sent would be lost with it, and suspected."""
    worker = meet(roster, credit=3)
    end_silent_periods(roster, 1)
    assert worker.credit == 3, "it spoke in that period"
    end_silent_periods(roster, 1)
    assert worker.credit == 0
    worker.heard = True
    assert worker.credit == 3


def test_a_layer_that_does_not_work_costs_no_credit(roster: Roster):
    worker = meet(roster, credit=3)
    for _ in range(5):
        roster.end_period(0.0, layer_worked=False)
    assert worker.credit == 3


def test_credit_never_falls_below_nothing(roster: Roster):
    worker = meet(roster, credit=1)
    worker.records = {1: Record(), 2: Record()}
    assert worker.credit == 0


def test_a_worker_that_refused_has_no_credit_until_its_next_status(roster: Roster):
    worker = meet(roster)
    worker.closed = True
    assert worker.credit == 0
    assert meet(roster).credit == 4


def test_the_freest_has_most_credit_left(roster: Roster):
    meet(roster, "a", credit=2)
    freest = meet(roster, "b", credit=5)
    busy = meet(roster, "c", credit=6)
    busy.records = {1: Record(), 2: Record()}
    assert roster.freest("") is freest


def test_a_burst_waits_for_the_freest_while_that_one_is_being_sent_to(roster: Roster):
    meet(roster, "a", credit=5).sending = True
    meet(roster, "b", credit=1)
    assert roster.freest("") is None


def test_of_two_equally_free_workers_the_one_that_can_be_sent_to_is_taken(roster: Roster):
    meet(roster, "a", credit=5).sending = True
    other = meet(roster, "b", credit=5)
    assert roster.freest("") is other


def test_nobody_is_freest_without_credit(roster: Roster):
    meet(roster, "a", credit=0)
    meet(roster, "b", state="draining")
    assert roster.freest("") is None


def test_a_job_is_held_elsewhere_if_any_worker_has_a_record(roster: Roster):
    meet(roster, "a")
    meet(roster, "b").records = {7: Record()}
    assert roster.held_elsewhere(7)
    assert not roster.held_elsewhere(8)


@pytest.mark.parametrize(("cancels", "goes", "words"), [(set(), [], False), ({1}, [], True), (set(), [1], True)])
def test_cancels_and_goes_are_words_to_say(roster: Roster, cancels: set[int], goes: list[int], words: bool):
    worker = meet(roster)
    worker.cancels, worker.goes = cancels, goes
    assert worker.has_words == words


# Rule 5: the job was lost in the layer


@pytest.mark.parametrize(
    ("stamp", "heard", "held", "lost"),
    [
        pytest.param(5, 6, (), [1], id="a later hello was heard: lost"),
        pytest.param(5, 60, (), [1], id="a much later hello was heard: lost"),
        pytest.param(5, 5, (), [], id="the hello of the stamp: the job may be on its way"),
        pytest.param(5, 4, (), [], id="an earlier hello: the job may be on its way"),
        pytest.param(5, 6, (1,), [], id="held"),
        pytest.param(None, 60, (), [], id="its send has not returned"),
    ],
)
def test_a_job_is_lost_if_the_worker_heard_more_than_its_stamp_and_does_not_hold_it(
    roster: Roster, stamp: int | None, heard: int, held: tuple[int, ...], lost: list[int]
):
    worker = meet(roster)
    worker.records = {1: Record(stamp)}
    assert worker.update(status(heard=heard, held=held)) == lost


def test_only_the_lost_ones_records_are_freed(roster: Roster):
    worker = meet(roster)
    worker.records = {1: Record(5), 2: Record(5), 3: Record(6), 4: Record()}
    assert worker.update(status(heard=6, held=(2,))) == [1]
    assert set(worker.records) == {2, 3, 4}


def test_a_lost_job_is_told_once(roster: Roster):
    worker = meet(roster)
    worker.records = {1: Record(5)}
    assert worker.update(status(heard=6)) == [1]
    assert worker.update(status(heard=7)) == []


# Rule 7: the worker is lost


def end_silent_periods(roster: Roster, count: int, *, layer_worked: bool = True) -> list[WorkerView]:
    return [worker for _ in range(count) for worker in roster.end_period(0.0, layer_worked=layer_worked)]


def test_a_worker_is_lost_after_three_whole_silent_periods(roster: Roster):
    worker = meet(roster)
    assert end_silent_periods(roster, 1) == []  # it spoke in this one
    assert end_silent_periods(roster, 2) == []
    assert end_silent_periods(roster, 1) == [worker]
    assert SILENT_PERIODS == 3


def test_a_lost_worker_is_removed(roster: Roster):
    meet(roster)
    end_silent_periods(roster, 4)
    assert not len(roster)


def test_a_worker_is_lost_once(roster: Roster):
    meet(roster)
    assert len(end_silent_periods(roster, 20)) == 1


@pytest.mark.parametrize("silent", range(1, SILENT_PERIODS + 1))
def test_a_word_at_the_last_moment_saves_it(roster: Roster, silent: int):
    worker = meet(roster)
    for _ in range(5):
        assert end_silent_periods(roster, silent) == []
        worker.heard = True
    assert list(roster) == [worker]


def test_periods_without_the_layer_do_not_count(roster: Roster):
    meet(roster)
    assert end_silent_periods(roster, 100, layer_worked=False) == []
    assert len(roster) == 1


def test_periods_without_the_layer_do_not_help_either(roster: Roster):
    worker = meet(roster)
    assert end_silent_periods(roster, 3) == []
    assert end_silent_periods(roster, 100, layer_worked=False) == []
    assert end_silent_periods(roster, 1) == [worker]


def test_a_word_counts_even_if_the_layer_did_not_work_for_us(roster: Roster):
    worker = meet(roster)
    end_silent_periods(roster, 3)
    worker.heard = True
    assert end_silent_periods(roster, 1, layer_worked=False) == []
    assert end_silent_periods(roster, 2) == []
    assert end_silent_periods(roster, 1) == [worker]


def test_all_that_are_lost_in_a_period_are_removed_together(roster: Roster):
    lost = {meet(roster, "a"), meet(roster, "b")}
    speaks = meet(roster, "c")
    for _ in range(3):
        speaks.heard = True
        assert roster.end_period(0.0, layer_worked=True) == []
    speaks.heard = True
    assert set(roster.end_period(0.0, layer_worked=True)) == lost
    assert list(roster) == [speaks]


def test_a_lost_worker_that_speaks_again_is_met_anew(roster: Roster):
    before = meet(roster)
    before.records = {1: Record(1)}
    end_silent_periods(roster, 4)
    after = meet(roster)
    assert after is not before
    assert not after.records
    assert end_silent_periods(roster, 3) == []
