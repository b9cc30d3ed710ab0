import pytest

from inference.scheduling.host_registry import HostView, WorkerView
from inference.scheduling.throughput import OUTLIER_RATIO, Throughput, ThroughputEstimate


def envelopes(throughput: Throughput, *, every_s: float, jobs: int, count: int = 100, workers: int = 1) -> None:
    for number in range(count):
        throughput.observe(jobs, workers=workers, backlog=True, now=number * every_s)


def test_it_is_unknown_at_first():
    assert Throughput().per_worker == 0


def test_it_is_what_was_answered_while_more_waited():
    throughput = Throughput()
    envelopes(throughput, every_s=0.1, jobs=20)
    assert throughput.per_worker == pytest.approx(200)


def test_it_is_per_worker():
    throughput = Throughput()
    envelopes(throughput, every_s=0.1, jobs=20, workers=4)
    assert throughput.per_worker == pytest.approx(50)


def test_it_is_not_measured_without_a_backlog():
    throughput = Throughput()
    envelopes(throughput, every_s=0.1, jobs=20)
    throughput.observe(1, workers=1, backlog=False, now=10.0)
    for later in range(10):
        throughput.observe(1, workers=1, backlog=False, now=20.0 + later)
    assert throughput.per_worker == pytest.approx(200, rel=0.1)


def test_recent_answers_have_more_weight():
    throughput = Throughput()
    envelopes(throughput, every_s=0.1, jobs=20)
    throughput.observe(1, workers=1, backlog=False, now=10.0)
    envelopes(throughput, every_s=0.1, jobs=5)
    assert throughput.per_worker == pytest.approx(50, rel=0.1)


def test_a_long_pause_has_little_weight():
    """The layer may have been frozen for a minute."""
    throughput = Throughput()
    envelopes(throughput, every_s=0.1, jobs=20)
    throughput.observe(20, workers=1, backlog=True, now=70.0)
    assert throughput.per_worker > 200 / OUTLIER_RATIO


def test_the_time_after_a_backlog_that_ended_without_answers_is_not_measured():
    """Its jobs may be cancelled. The next answer may come an hour later, before anything was measured."""
    throughput = Throughput()
    throughput.observe(1, workers=1, backlog=True, now=0.0)
    throughput.end_backlog()
    throughput.observe(1, workers=1, backlog=True, now=3600.0)
    throughput.observe(20, workers=1, backlog=True, now=3600.1)
    assert throughput.per_worker == pytest.approx(200)


def test_what_a_worker_did_alone_is_not_expected_of_its_part_of_a_host():
    """Rule 16."""
    worker = WorkerView("w", HostView("h", "c"), "default")
    estimate = ThroughputEstimate(lambda: [worker], 0.0)
    for number in range(100):
        estimate.observe_answers(20, number * 0.1, backlog=True)
    assert estimate.jobs_per_s == pytest.approx(200)
    worker.share = 0.25
    assert estimate.jobs_per_s == pytest.approx(50)
    for number in range(100, 200):
        estimate.observe_answers(5, number * 0.1, backlog=True)
    assert estimate.jobs_per_s == pytest.approx(50, rel=0.1)
    worker.share = 1.0
    assert estimate.jobs_per_s == pytest.approx(200, rel=0.1)
