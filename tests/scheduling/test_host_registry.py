from typing import Any

import msgspec
import pytest

from inference.messaging.messages import (
    DEFAULT_PIPELINE,
    CostModel,
    Description,
    Facts,
    HostStatus,
    Totals,
    WorkerStatus,
)
from inference.scheduling.host_registry import (
    MAX_DEPARTED,
    MAX_MISSED_PERIODS,
    TYPICAL_TOKENS,
    HostRegistry,
    HostView,
    Record,
    WorkerView,
)

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


def part(worker: str = "h-w", **fields: Any) -> WorkerStatus:
    """What a host says about one of its workers."""
    known: dict[str, Any] = {
        "worker": worker,
        "pipeline": DEFAULT_PIPELINE,
        "version": "",
        "state": "ready",
        "credit": 4,
        "queue_depth": 0,
        "job_ms": 0.0,
        "cost": None,
        "totals": Totals(),
    }
    return WorkerStatus(**(known | fields))


def status(host: str = "h", *workers: WorkerStatus, **fields: Any) -> HostStatus:
    """By default of a host with one worker; fields that are no host's are that worker's."""
    known: dict[str, Any] = {
        "host": host,
        "channel": f"inference.worker.{host}",
        "heard": 1,
        "state": "ready",
        "webs": 1,
        "held": (),
    }
    own = {name: value for name, value in fields.items() if name in known}
    others = {name: value for name, value in fields.items() if name not in known or name == "state"}
    return HostStatus(**(known | own), workers=workers or (part(f"{host}-w", **others),))


def receive(registry: HostRegistry, message: HostStatus) -> HostView:
    """The host after this status."""
    host = registry.get_or_add(message)
    registry.update(host, message)
    return host


def meet(
    registry: HostRegistry, host: str = "h", *, description: Description | None = DESCRIPTION, **fields: Any
) -> WorkerView:
    """The worker of a host, which has no other, after a status with these fields and its facts."""
    if description is not None:
        fields |= {"version": description.version, "facts_n": 1}
    view = receive(registry, status(host, **fields))
    (worker,) = view.workers.values()
    if description is not None:
        assert registry.describe(Facts(host, worker.id, 1, description)) is worker
    return worker


def hold(registry: HostRegistry, worker: WorkerView, *job_ids: int, stamp: int | None = None) -> None:
    """Records of jobs that were sent to it."""
    for job_id in job_ids:
        registry.add_record(worker, job_id)
        worker.host.records[job_id].stamp = stamp


@pytest.fixture
def registry() -> HostRegistry:
    return HostRegistry()


# Known hosts


def test_a_host_appears_with_its_first_status_and_so_do_its_workers(registry: HostRegistry):
    host = receive(registry, status("h", part("a"), part("b", pipeline="other")))
    assert (host.id, host.channel) == ("h", "inference.worker.h")
    assert list(registry) == [host]
    assert registry.get("h") is host
    assert [(worker.id, worker.pipeline, worker.host) for worker in host.workers.values()] == [
        ("a", DEFAULT_PIPELINE, host),
        ("b", "other", host),
    ]


def test_hosts_and_workers_are_added_once(registry: HostRegistry):
    assert meet(registry) is meet(registry)
    assert len(registry) == 1


def test_a_worker_that_a_host_did_not_have_at_first_is_added(registry: HostRegistry):
    receive(registry, status("h", part("a")))
    assert list(receive(registry, status("h", part("a"), part("b"))).workers) == ["a", "b"]


def test_before_its_first_status_is_applied_a_host_and_its_workers_do_nothing(registry: HostRegistry):
    host = registry.get_or_add(status())
    (worker,) = host.workers.values()
    assert (worker.state, worker.credit_limit, worker.queue_depth, host.state, host.webs) == (
        *("starting", 0, 0),
        *("starting", 1),
    )
    assert (worker.cost, worker.job_ms, worker.totals) == (None, 0, Totals())
    assert not any((worker.ready, worker.closed, worker.credit, host.sending, host.has_pending_control))


def test_a_new_host_was_heard_in_this_period(registry: HostRegistry):
    host = registry.get_or_add(status())
    assert end_silent_periods(registry, 3) == []
    assert end_silent_periods(registry, 1) == [host]


def test_a_new_record_is_being_sent_and_has_no_go(registry: HostRegistry):
    worker = meet(registry)
    hold(registry, worker, 1)
    assert worker.host.records == {1: Record(worker, stamp=None, go_sent=False)}


def test_an_unknown_host_is_none(registry: HostRegistry):
    assert registry.get("nobody") is None


def test_a_removed_host_is_gone_and_may_be_removed_again(registry: HostRegistry):
    host = meet(registry).host
    registry.remove(host)
    registry.remove(host)
    assert registry.get("h") is None
    assert not len(registry)


def test_a_removed_host_leaves_its_records(registry: HostRegistry):
    a, b = meet(registry, "a"), meet(registry, "b")
    hold(registry, a, 1, 2, stamp=5)
    hold(registry, b, 2, stamp=6)
    assert registry.remove(a.host) == {1: Record(a, 5), 2: Record(a, 5)}
    assert (registry.is_held(1), registry.is_held(2), registry.recorded, a.in_flight) == (False, True, 1, 0)
    assert registry.remove(a.host) == {}


def test_what_a_worker_did_before_it_was_lost_counts_once(registry: HostRegistry):
    worker = meet(registry, totals=Totals(1, 2, 3, 4))
    registry.remove(worker.host)
    (returned,) = registry.get_or_add(status()).workers.values()
    assert returned is not worker
    assert returned.totals == Totals(1, 2, 3, 4)


def test_what_the_last_hundred_removed_workers_did_is_kept(registry: HostRegistry):
    for number in range(MAX_DEPARTED + 1):
        registry.remove(meet(registry, f"h{number}", totals=Totals(jobs=number + 1)).host)
    jobs = [meet_without_status(registry, f"h{number}").totals.jobs for number in (0, 1, MAX_DEPARTED)]
    assert jobs == [0, 2, MAX_DEPARTED + 1]


def meet_without_status(registry: HostRegistry, host: str) -> WorkerView:
    (worker,) = registry.get_or_add(status(host)).workers.values()
    return worker


# Statuses and facts


def test_a_status_is_applied(registry: HostRegistry):
    worker = meet(registry, state="draining", cost=CostModel(1.0, 2.0, 3.0), credit=7, queue_depth=5, share=0.5, webs=3)
    assert (worker.state, worker.cost, worker.credit_limit) == ("draining", CostModel(1.0, 2.0, 3.0), 7)
    assert (worker.queue_depth, worker.share, worker.description) == (5, 0.5, DESCRIPTION)
    assert (worker.host.state, worker.host.webs) == ("draining", 3)


def test_a_status_says_why_a_worker_is_not_ready(registry: HostRegistry):
    worker = meet(registry, description=None, state="failed", reason="no such model")
    assert (worker.ready, worker.reason) == (False, "no such model")
    assert meet(registry, reason="").reason == ""


def test_each_worker_has_its_own_totals(registry: HostRegistry):
    worker = meet(registry, "a", job_ms=2.5, totals=Totals(1, 2, 3, 4))
    other = meet(registry, "b")
    assert (worker.job_ms, worker.totals) == (2.5, Totals(1, 2, 3, 4))
    assert (other.job_ms, other.totals) == (0, Totals())
    assert meet(registry, "a", job_ms=1.5, totals=Totals(2, 3, 4, 5)).totals == Totals(2, 3, 4, 5)
    assert worker.job_ms == 1.5


def test_a_worker_is_ready_when_its_facts_are_known(registry: HostRegistry):
    """Until then nothing can be validated for it. A host asks for the facts of no other worker."""
    host = receive(registry, status("h", part("a", version="1", facts_n=1), part("b", state="starting")))
    worker = host.workers["a"]
    assert (worker.ready, worker.credit, worker.version) == (False, 0, "1")
    assert host.pending_want == {"a"}
    assert host.has_pending_control
    assert registry.describe(Facts("h", "a", 1, DESCRIPTION)) is worker
    assert (worker.ready, worker.credit, worker.description) == (True, 4, DESCRIPTION)
    assert not host.has_pending_control


def test_facts_are_asked_for_until_they_come_and_then_only_when_they_are_new(registry: HostRegistry):
    wanted = []
    for number, answered in ((1, False), (1, True), (1, True), (2, True), (2, True)):
        host = receive(registry, status("h", part("a", facts_n=number)))
        wanted.append(host.pending_want == {"a"})
        host.pending_want.clear()
        if answered:
            registry.describe(Facts("h", "a", number, DESCRIPTION))
    assert wanted == [True, True, False, True, False]


def test_facts_are_not_asked_for_again_by_statuses_that_were_on_their_way(registry: HostRegistry):
    """Where many processes start at once, statuses wait before the facts; each would ask once more."""
    host = receive(registry, status("h", part("a", facts_n=1), heard=7))
    host.pending_want.clear()
    host.workers["a"].asked_at = 8
    wanted = []
    for heard in (8, 8, 9):
        receive(registry, status("h", part("a", facts_n=1), heard=heard))
        wanted.append(host.pending_want == {"a"})
    assert wanted == [False, False, True]


def test_facts_of_strangers_are_ignored(registry: HostRegistry):
    meet(registry)
    assert registry.describe(Facts("nobody", "h-w", 1, DESCRIPTION)) is None
    assert registry.describe(Facts("h", "nobody", 1, DESCRIPTION)) is None


def test_facts_say_that_the_host_is_there(registry: HostRegistry):
    worker = meet(registry)
    end_silent_periods(registry, 2)
    registry.describe(Facts("h", worker.id, 1, DESCRIPTION))
    assert worker.host.heard


def test_facts_have_the_version(registry: HostRegistry):
    worker = meet(registry)
    registry.describe(Facts("h", worker.id, 2, msgspec.structs.replace(DESCRIPTION, version="2")))
    assert worker.version == "2"


def test_a_status_without_a_version_keeps_the_last_one(registry: HostRegistry):
    worker = meet(registry, description=msgspec.structs.replace(DESCRIPTION, version="2"))
    receive(registry, status(state="stopped"))
    assert (worker.state, worker.version, worker.description and worker.description.version) == ("stopped", "2", "2")


# Speed


def test_the_speed_is_that_of_the_cost_model_in_its_share_of_the_host_between_web_processes(registry: HostRegistry):
    worker = meet(registry, cost=CostModel(50.0, 4.0, 0.125))
    alone = worker.predicted_jobs_per_s
    assert alone == pytest.approx(1000 / (4 + TYPICAL_TOKENS / 8))
    meet(registry, cost=CostModel(50.0, 4.0, 0.125), share=0.25, webs=2)
    assert worker.predicted_jobs_per_s == pytest.approx(alone / 8)


def test_workers_of_a_host_that_have_jobs_now_expect_their_weight_among_them(registry: HostRegistry):
    receive(registry, status("h", part("first"), part("second", weight=3.0), part("idle")))
    first, second, _ = (registry.get_or_add(status("h")).workers[name] for name in ("first", "second", "idle"))
    assert first.expected_share == 1
    hold(registry, second, 1)
    assert (first.expected_share, second.expected_share) == (0.25, 1)
    hold(registry, first, 2)
    assert (first.expected_share, second.expected_share) == (0.25, 0.75)
    first.share = 0.125
    assert first.expected_share == 0.125
    registry.drop_record(second.host, 1)
    first.share = 1.0
    assert first.expected_share == 1


def test_the_speed_is_what_was_measured_if_that_is_lower(registry: HostRegistry):
    cost = CostModel(50.0, 4.0, 0.0)
    assert meet(registry, cost=cost, job_ms=10.0).predicted_jobs_per_s == pytest.approx(100)
    assert meet(registry, cost=cost, job_ms=1.0).predicted_jobs_per_s == pytest.approx(250)
    assert meet(registry, cost=None, job_ms=10.0).predicted_jobs_per_s == 0


# Credit


def test_records_use_credit(registry: HostRegistry):
    worker = meet(registry, credit=3)
    hold(registry, worker, 1, 2)
    assert worker.credit == 1
    registry.drop_record(worker.host, 1)
    assert worker.credit == 2


def test_workers_of_a_host_have_credit_of_their_own(registry: HostRegistry):
    host = receive(registry, status("h", part("a", facts_n=1, credit=3), part("b", facts_n=1, credit=3)))
    for worker in host.workers:
        registry.describe(Facts("h", worker, 1, DESCRIPTION))
    hold(registry, host.workers["a"], 1, 2)
    assert [worker.credit for worker in host.workers.values()] == [1, 3]


def test_a_worker_has_credit_until_its_inputs_have_too_many_bytes(registry: HostRegistry):
    worker = meet(registry, credit=3, credit_bytes=100)
    registry.add_record(worker, 1, 99)
    assert worker.credit == 2
    registry.add_record(worker, 2, 9000)  # a single one may be larger than all that is allowed
    assert worker.credit == 0
    registry.drop_record(worker.host, 2)
    assert worker.credit == 2
    meet(registry, credit=3, credit_bytes=0)
    registry.drop_record(worker.host, 1)
    assert worker.credit == 3


@pytest.mark.parametrize("state", ["starting", "failed", "draining", "stopped"])
def test_a_worker_that_is_not_ready_has_no_credit(registry: HostRegistry, state: str):
    assert meet(registry, state=state, credit=3).credit == 0


def test_an_unresponsive_worker_has_no_credit_until_it_is_heard(registry: HostRegistry):
    """Jobs sent to it might be lost with it, and then be suspects."""
    worker = meet(registry, credit=3)
    end_silent_periods(registry, 1)
    assert worker.credit == 3, "it was heard in that period"
    end_silent_periods(registry, 1)
    assert worker.credit == 0
    worker.host.heard = True
    assert worker.credit == 3


def test_a_layer_that_does_not_work_costs_no_credit(registry: HostRegistry):
    worker = meet(registry, credit=3)
    for _ in range(5):
        registry.end_period(layer_worked=False)
    assert worker.credit == 3


def test_credit_never_falls_below_nothing(registry: HostRegistry):
    worker = meet(registry, credit=1)
    hold(registry, worker, 1, 2)
    assert worker.credit == 0


def test_a_worker_that_refused_has_no_credit_until_its_next_status(registry: HostRegistry):
    worker = meet(registry)
    worker.closed = True
    assert worker.credit == 0
    assert meet(registry).credit == 4


def test_a_send_that_failed_closes_all_workers_of_the_host(registry: HostRegistry):
    host = receive(registry, status("h", part("a"), part("b")))
    other = meet(registry, "other")
    host.close()
    assert [worker.closed for worker in (*host.workers.values(), other)] == [True, True, False]


# Records


def test_a_job_is_held_if_any_host_has_a_record(registry: HostRegistry):
    a, b = meet(registry, "a"), meet(registry, "b")
    hold(registry, b, 7)
    assert registry.is_held(7)
    assert not registry.is_held(8)
    assert (registry.holders(7), registry.holders(8)) == ([b.host], [])
    hold(registry, a, 7)
    assert registry.drop_record(b.host, 7)
    assert registry.holders(7) == [a.host]
    assert registry.drop_record(a.host, 7)
    assert not registry.is_held(7)


def test_records_are_counted_at_all_hosts(registry: HostRegistry):
    a, b = meet(registry, "a"), meet(registry, "b")
    hold(registry, a, 7, 8)
    hold(registry, b, 7)
    assert registry.recorded == 3


def test_a_record_is_dropped_once(registry: HostRegistry):
    worker = meet(registry)
    hold(registry, worker, 7)
    assert registry.drop_record(worker.host, 7) == Record(worker)
    assert registry.drop_record(worker.host, 7) is None
    assert (worker.in_flight, registry.recorded) == (0, 0)


@pytest.mark.parametrize(
    ("cancel", "go", "want", "pending"),
    [
        (set(), [], set(), False),
        ({1}, [], set(), True),
        (set(), [1], set(), True),
        (set(), [], {"w"}, True),
    ],
)
def test_cancel_go_and_want_are_pending_control(
    registry: HostRegistry, cancel: set[int], go: list[int], want: set[str], pending: bool
):
    host = meet(registry).host
    host.pending_cancel, host.pending_go, host.pending_want = cancel, go, want
    assert host.has_pending_control == pending


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
def test_a_job_is_lost_if_the_host_heard_more_than_its_stamp_and_does_not_hold_it(
    registry: HostRegistry, stamp: int | None, heard: int, held: tuple[int, ...], lost: list[int]
):
    worker = meet(registry)
    hold(registry, worker, 1, stamp=stamp)
    assert registry.update(worker.host, status(heard=heard, held=held)) == lost


def test_only_records_of_lost_jobs_are_removed(registry: HostRegistry):
    worker = meet(registry)
    hold(registry, worker, 1, 2, stamp=5)
    hold(registry, worker, 3, stamp=6)
    hold(registry, worker, 4)
    assert registry.update(worker.host, status(heard=6, held=(2,))) == [1]
    assert set(worker.host.records) == {2, 3, 4}
    assert worker.in_flight == 3


def test_a_lost_job_is_returned_once(registry: HostRegistry):
    worker = meet(registry)
    hold(registry, worker, 1, stamp=5)
    assert registry.update(worker.host, status(heard=6)) == [1]
    assert registry.update(worker.host, status(heard=7)) == []


# Rule 7: the host is lost


def end_silent_periods(registry: HostRegistry, count: int, *, layer_worked: bool = True) -> list[HostView]:
    """The hosts that are lost then; they are removed, as by the dispatcher."""
    every = []
    for _ in range(count):
        lost = registry.end_period(layer_worked=layer_worked)
        every += lost
        for host in lost:
            registry.remove(host)
    return every


def test_a_host_is_lost_after_three_whole_silent_periods(registry: HostRegistry):
    host = meet(registry).host
    assert end_silent_periods(registry, 1) == []  # it was heard in this one
    assert end_silent_periods(registry, 2) == []
    assert end_silent_periods(registry, 1) == [host]
    assert MAX_MISSED_PERIODS == 3


def test_a_host_is_lost_once(registry: HostRegistry):
    meet(registry)
    assert len(end_silent_periods(registry, 20)) == 1


@pytest.mark.parametrize("silent", range(1, MAX_MISSED_PERIODS + 1))
def test_a_message_in_the_last_period_keeps_it(registry: HostRegistry, silent: int):
    host = meet(registry).host
    for _ in range(5):
        assert end_silent_periods(registry, silent) == []
        host.heard = True
    assert list(registry) == [host]


def test_a_status_is_such_a_message(registry: HostRegistry):
    host = meet(registry).host
    for _ in range(5):
        assert end_silent_periods(registry, MAX_MISSED_PERIODS) == []
        registry.update(host, status())
    assert list(registry) == [host]


def test_periods_without_the_layer_do_not_count(registry: HostRegistry):
    meet(registry)
    assert end_silent_periods(registry, 100, layer_worked=False) == []
    assert len(registry) == 1


def test_periods_without_the_layer_do_not_reset_the_count(registry: HostRegistry):
    host = meet(registry).host
    assert end_silent_periods(registry, 3) == []
    assert end_silent_periods(registry, 100, layer_worked=False) == []
    assert end_silent_periods(registry, 1) == [host]


def test_a_message_counts_even_if_the_layer_did_not_work_for_us(registry: HostRegistry):
    host = meet(registry).host
    end_silent_periods(registry, 3)
    host.heard = True
    assert end_silent_periods(registry, 1, layer_worked=False) == []
    assert end_silent_periods(registry, 2) == []
    assert end_silent_periods(registry, 1) == [host]


def test_all_that_are_lost_in_a_period_are_lost_together(registry: HostRegistry):
    lost = {meet(registry, "a").host, meet(registry, "b").host}
    heard_from = meet(registry, "c").host
    for _ in range(3):
        heard_from.heard = True
        assert registry.end_period(layer_worked=True) == []
    heard_from.heard = True
    assert set(registry.end_period(layer_worked=True)) == lost


def test_a_lost_host_that_returns_starts_anew(registry: HostRegistry):
    before = meet(registry)
    hold(registry, before, 1, stamp=1)
    end_silent_periods(registry, 4)
    after = meet(registry)
    assert after is not before
    assert after.host is not before.host
    assert not after.host.records
    assert after.in_flight == 0
    assert end_silent_periods(registry, 3) == []
