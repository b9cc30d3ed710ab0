import pytest

from inference.scheduling.throughput import OUTLIER, Outage, Throughput


def envelopes(throughput: Throughput, *, every_s: float, jobs: int, count: int = 100, workers: int = 1) -> None:
    for number in range(count):
        throughput.answered(jobs, workers=workers, backlog=True, now=number * every_s)


def test_nothing_is_known_at_first():
    assert Throughput().per_worker == 0


def test_it_is_what_was_answered_while_more_waited():
    throughput = Throughput()
    envelopes(throughput, every_s=0.1, jobs=20)
    assert throughput.per_worker == pytest.approx(200)


def test_it_is_per_worker():
    throughput = Throughput()
    envelopes(throughput, every_s=0.1, jobs=20, workers=4)
    assert throughput.per_worker == pytest.approx(50)


def test_times_without_a_backlog_say_nothing():
    throughput = Throughput()
    envelopes(throughput, every_s=0.1, jobs=20)
    throughput.answered(1, workers=1, backlog=False, now=10.0)
    for later in range(10):
        throughput.answered(1, workers=1, backlog=False, now=20.0 + later)
    assert throughput.per_worker == pytest.approx(200, rel=0.1)


def test_what_is_new_counts_more():
    throughput = Throughput()
    envelopes(throughput, every_s=0.1, jobs=20)
    throughput.answered(1, workers=1, backlog=False, now=10.0)
    envelopes(throughput, every_s=0.1, jobs=5)
    assert throughput.per_worker == pytest.approx(50, rel=0.1)


def test_a_pause_counts_for_little():
    """A layer that was frozen for a minute says nothing about the workers."""
    throughput = Throughput()
    envelopes(throughput, every_s=0.1, jobs=20)
    throughput.answered(20, workers=1, backlog=True, now=70.0)
    assert throughput.per_worker > 200 / OUTLIER


def test_a_backlog_that_goes_away_unanswered_is_not_waited_for():
    """Cancelled, say. The next answer may come an hour later, and nothing may be known yet to judge that by."""
    throughput = Throughput()
    throughput.answered(1, workers=1, backlog=True, now=0.0)
    throughput.caught_up()
    throughput.answered(1, workers=1, backlog=True, now=3600.0)
    throughput.answered(20, workers=1, backlog=True, now=3600.1)
    assert throughput.per_worker == pytest.approx(200)


def test_an_outage_begins_with_the_process():
    outage = Outage(100.0)
    assert (outage.lasts_s(103.0), outage.last_s) == (3.0, 0.0)


def test_an_outage_is_expected_to_last_as_long_as_the_last_one():
    outage = Outage(0.0)
    outage.note(8.0, ready=True)
    assert outage.lasts_s(9.0) == 0
    outage.note(20.0, ready=False)
    outage.note(21.0, ready=False)
    assert (outage.lasts_s(23.0), outage.left_s(23.0)) == (3.0, 5.0)


def test_one_that_lasts_longer_is_expected_to_last_as_long_again():
    outage = Outage(0.0)
    assert outage.left_s(7.0) == 7.0
    outage.note(8.0, ready=True)
    outage.note(20.0, ready=False)
    assert outage.left_s(32.0) == 12.0
