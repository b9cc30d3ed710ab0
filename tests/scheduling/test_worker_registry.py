from typing import Any

import msgspec
import pytest

from inference.messaging.messages import CostModel, Description, Status, Totals
from inference.scheduling.worker_registry import MAX_MISSED_PERIODS, Record, WorkerRegistry, WorkerView

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


def meet(registry: WorkerRegistry, worker: str = "w", **fields: Any) -> WorkerView:
    """The worker after a status with these fields."""
    message = status(worker, **fields)
    view = registry.get_or_add(message)
    view.heard = True
    view.update(message)
    return view


@pytest.fixture
def registry() -> WorkerRegistry:
    return WorkerRegistry()


# Known workers


def test_a_worker_appears_with_its_first_status(registry: WorkerRegistry):
    worker = meet(registry)
    assert (worker.id, worker.channel) == ("w", "inference.worker.w")
    assert list(registry) == [worker]
    assert registry.get("w") is worker


def test_a_worker_is_added_once(registry: WorkerRegistry):
    assert meet(registry) is meet(registry)
    assert len(registry) == 1


def test_a_worker_before_its_first_status_is_not_selected(registry: WorkerRegistry):
    worker = registry.get_or_add(status())
    assert (worker.state, worker.credit_limit, worker.queue_depth, worker.webs) == ("starting", 0, 0, 1)
    assert (worker.cost, worker.job_ms, worker.totals) == (None, 0, Totals())
    assert not any((worker.ready, worker.closed, worker.sending, worker.has_pending_control))
    assert registry.select("") is None


def test_a_new_worker_was_heard_in_this_period(registry: WorkerRegistry):
    worker = registry.get_or_add(status())
    assert end_silent_periods(registry, 3) == []
    assert end_silent_periods(registry, 1) == [worker]


def test_a_new_record_is_being_sent_and_has_no_go():
    assert Record() == Record(stamp=None, go_sent=False)


def test_an_unknown_worker_is_none(registry: WorkerRegistry):
    assert registry.get("nobody") is None


def test_a_removed_worker_is_gone_and_may_be_removed_again(registry: WorkerRegistry):
    worker = meet(registry)
    registry.remove(worker)
    registry.remove(worker)
    assert registry.get("w") is None
    assert not len(registry)


def test_only_ready_workers_are_counted_as_ready(registry: WorkerRegistry):
    for state in ("starting", "ready", "draining", "stopped", "ready"):
        meet(registry, f"{state}{len(registry)}", state=state)
    registry.update_version(0.0)
    assert len(registry.serving()) == 2
    assert registry.serving() == registry.ready_for("")


def test_what_is_served_is_known_from_the_first_worker_that_is_ready(registry: WorkerRegistry):
    meet(registry, "a", state="starting", description=None)
    registry.update_version(0.0)
    assert (registry.description, registry.serving()) == (None, [])
    b = meet(registry, "b")
    meet(registry, "c", state="starting", description=None)
    registry.update_version(0.0)
    assert (registry.description, registry.serving()) == (DESCRIPTION, [b])


def test_what_was_served_is_remembered_when_the_last_worker_is_gone(registry: WorkerRegistry):
    worker = meet(registry)
    registry.update_version(0.0)
    registry.remove(worker)
    registry.update_version(100.0)
    assert registry.description == DESCRIPTION


def test_workers_of_other_versions_are_kept_apart(registry: WorkerRegistry):
    same, other = (
        meet(registry, "a"),
        meet(registry, "b", description=msgspec.structs.replace(DESCRIPTION, version="2")),
    )
    registry.update_version(0.0)
    assert (registry.serving(), registry.other_versions()) == ([same], [other])
    assert (registry.select(""), registry.select("2"), registry.select("3")) == (same, other, None)


def test_what_a_worker_did_before_it_was_lost_counts_once(registry: WorkerRegistry):
    worker = meet(registry, totals=Totals(1, 2, 3, 4))
    registry.remove(worker)
    assert registry.get_or_add(status()).totals == Totals(1, 2, 3, 4)


def test_a_status_is_applied(registry: WorkerRegistry):
    worker = meet(registry, state="draining", cost=CostModel(1.0, 2.0, 3.0), credit=7, queue_depth=5, webs=3)
    assert (worker.state, worker.cost, worker.credit_limit) == ("draining", CostModel(1.0, 2.0, 3.0), 7)
    assert (worker.queue_depth, worker.webs, worker.description) == (5, 3, DESCRIPTION)


def test_each_worker_has_its_own_totals(registry: WorkerRegistry):
    worker = meet(registry, "a", job_ms=2.5, totals=Totals(1, 2, 3, 4))
    other = meet(registry, "b")
    assert (worker.job_ms, worker.totals) == (2.5, Totals(1, 2, 3, 4))
    assert (other.job_ms, other.totals) == (0, Totals())
    assert meet(registry, "a", job_ms=1.5, totals=Totals(2, 3, 4, 5)).totals == Totals(2, 3, 4, 5)
    assert worker.job_ms == 1.5


def test_a_status_without_a_description_keeps_the_last_one(registry: WorkerRegistry):
    meet(registry)
    assert meet(registry, state="stopped", description=None).description == DESCRIPTION


# Credit


def test_records_use_credit(registry: WorkerRegistry):
    worker = meet(registry, credit=3)
    worker.records = {1: Record(), 2: Record()}
    assert worker.credit == 1


@pytest.mark.parametrize("state", ["starting", "draining", "stopped"])
def test_a_worker_that_is_not_ready_has_no_credit(registry: WorkerRegistry, state: str):
    assert meet(registry, state=state, credit=3).credit == 0


def test_an_unresponsive_worker_has_no_credit_until_it_is_heard(registry: WorkerRegistry):
    """Jobs sent to it might be lost with it, and then be suspects."""
    worker = meet(registry, credit=3)
    end_silent_periods(registry, 1)
    assert worker.credit == 3, "it was heard in that period"
    end_silent_periods(registry, 1)
    assert worker.credit == 0
    worker.heard = True
    assert worker.credit == 3


def test_a_layer_that_does_not_work_costs_no_credit(registry: WorkerRegistry):
    worker = meet(registry, credit=3)
    for _ in range(5):
        registry.end_period(0.0, layer_worked=False)
    assert worker.credit == 3


def test_credit_never_falls_below_nothing(registry: WorkerRegistry):
    worker = meet(registry, credit=1)
    worker.records = {1: Record(), 2: Record()}
    assert worker.credit == 0


def test_a_worker_that_refused_has_no_credit_until_its_next_status(registry: WorkerRegistry):
    worker = meet(registry)
    worker.closed = True
    assert worker.credit == 0
    assert meet(registry).credit == 4


def test_the_worker_with_most_credit_is_selected(registry: WorkerRegistry):
    meet(registry, "a", credit=2)
    best = meet(registry, "b", credit=5)
    busy = meet(registry, "c", credit=6)
    busy.records = {1: Record(), 2: Record()}
    assert registry.select("") is best


def test_none_is_selected_while_a_send_to_the_best_one_is_in_progress(registry: WorkerRegistry):
    meet(registry, "a", credit=5).sending = True
    meet(registry, "b", credit=1)
    assert registry.select("") is None


def test_of_two_workers_with_equal_credit_the_idle_one_is_selected(registry: WorkerRegistry):
    meet(registry, "a", credit=5).sending = True
    other = meet(registry, "b", credit=5)
    assert registry.select("") is other


def test_no_worker_is_selected_without_credit(registry: WorkerRegistry):
    meet(registry, "a", credit=0)
    meet(registry, "b", state="draining")
    assert registry.select("") is None


def test_a_job_is_held_if_any_worker_has_a_record(registry: WorkerRegistry):
    meet(registry, "a")
    meet(registry, "b").records = {7: Record()}
    assert registry.is_held(7)
    assert not registry.is_held(8)


@pytest.mark.parametrize(("cancel", "go", "pending"), [(set(), [], False), ({1}, [], True), (set(), [1], True)])
def test_cancel_and_go_are_pending_control(registry: WorkerRegistry, cancel: set[int], go: list[int], pending: bool):
    worker = meet(registry)
    worker.pending_cancel, worker.pending_go = cancel, go
    assert worker.has_pending_control == pending


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
    registry: WorkerRegistry, stamp: int | None, heard: int, held: tuple[int, ...], lost: list[int]
):
    worker = meet(registry)
    worker.records = {1: Record(stamp)}
    assert worker.update(status(heard=heard, held=held)) == lost


def test_only_records_of_lost_jobs_are_removed(registry: WorkerRegistry):
    worker = meet(registry)
    worker.records = {1: Record(5), 2: Record(5), 3: Record(6), 4: Record()}
    assert worker.update(status(heard=6, held=(2,))) == [1]
    assert set(worker.records) == {2, 3, 4}


def test_a_lost_job_is_returned_once(registry: WorkerRegistry):
    worker = meet(registry)
    worker.records = {1: Record(5)}
    assert worker.update(status(heard=6)) == [1]
    assert worker.update(status(heard=7)) == []


# Rule 7: the worker is lost


def end_silent_periods(registry: WorkerRegistry, count: int, *, layer_worked: bool = True) -> list[WorkerView]:
    return [worker for _ in range(count) for worker in registry.end_period(0.0, layer_worked=layer_worked)]


def test_a_worker_is_lost_after_three_whole_silent_periods(registry: WorkerRegistry):
    worker = meet(registry)
    assert end_silent_periods(registry, 1) == []  # it was heard in this one
    assert end_silent_periods(registry, 2) == []
    assert end_silent_periods(registry, 1) == [worker]
    assert MAX_MISSED_PERIODS == 3


def test_a_lost_worker_is_removed(registry: WorkerRegistry):
    meet(registry)
    end_silent_periods(registry, 4)
    assert not len(registry)


def test_a_worker_is_lost_once(registry: WorkerRegistry):
    meet(registry)
    assert len(end_silent_periods(registry, 20)) == 1


@pytest.mark.parametrize("silent", range(1, MAX_MISSED_PERIODS + 1))
def test_a_message_in_the_last_period_keeps_it(registry: WorkerRegistry, silent: int):
    worker = meet(registry)
    for _ in range(5):
        assert end_silent_periods(registry, silent) == []
        worker.heard = True
    assert list(registry) == [worker]


def test_periods_without_the_layer_do_not_count(registry: WorkerRegistry):
    meet(registry)
    assert end_silent_periods(registry, 100, layer_worked=False) == []
    assert len(registry) == 1


def test_periods_without_the_layer_do_not_reset_the_count(registry: WorkerRegistry):
    worker = meet(registry)
    assert end_silent_periods(registry, 3) == []
    assert end_silent_periods(registry, 100, layer_worked=False) == []
    assert end_silent_periods(registry, 1) == [worker]


def test_a_message_counts_even_if_the_layer_did_not_work_for_us(registry: WorkerRegistry):
    worker = meet(registry)
    end_silent_periods(registry, 3)
    worker.heard = True
    assert end_silent_periods(registry, 1, layer_worked=False) == []
    assert end_silent_periods(registry, 2) == []
    assert end_silent_periods(registry, 1) == [worker]


def test_all_that_are_lost_in_a_period_are_removed_together(registry: WorkerRegistry):
    lost = {meet(registry, "a"), meet(registry, "b")}
    heard_from = meet(registry, "c")
    for _ in range(3):
        heard_from.heard = True
        assert registry.end_period(0.0, layer_worked=True) == []
    heard_from.heard = True
    assert set(registry.end_period(0.0, layer_worked=True)) == lost
    assert list(registry) == [heard_from]


def test_a_lost_worker_that_returns_starts_anew(registry: WorkerRegistry):
    before = meet(registry)
    before.records = {1: Record(1)}
    end_silent_periods(registry, 4)
    after = meet(registry)
    assert after is not before
    assert not after.records
    assert end_silent_periods(registry, 3) == []
