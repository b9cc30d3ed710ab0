from inference.scheduling.outage import Outage


def test_an_outage_begins_with_the_process():
    outage = Outage(100.0)
    assert (outage.duration_s(103.0), outage.last_duration_s) == (3.0, 0.0)


def test_an_outage_is_expected_to_last_as_long_as_the_last_one():
    outage = Outage(0.0)
    outage.update(8.0, ready=True)
    assert outage.duration_s(9.0) == 0
    outage.update(20.0, ready=False)
    outage.update(21.0, ready=False)
    assert (outage.duration_s(23.0), outage.remaining_s(23.0)) == (3.0, 5.0)


def test_a_longer_outage_is_expected_to_double():
    outage = Outage(0.0)
    assert outage.remaining_s(7.0) == 7.0
    outage.update(8.0, ready=True)
    outage.update(20.0, ready=False)
    assert outage.remaining_s(32.0) == 12.0
