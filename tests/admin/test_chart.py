"""Charts: what is drawn, and the texts that stand for it."""

import pytest

from inference.admin.chart import Series, bars, lines

LABELS = ["Mon", "Tue", "Wed"]
show = "{:g} ms".format


def test_bars_are_as_high_as_their_values():
    (curve,) = bars("", LABELS, [Series("units", [50, 0, 200])], show).curves
    assert curve.path == "M0.05 100.00h0.9v-25.00h-0.9zM2.05 100.00h0.9v-100.00h-0.9z"


def test_bars_stand_on_one_another():
    one, two = bars("", LABELS, [Series("a", [50, 0, 50]), Series("b", [50, 100, 0])], show).curves
    assert one.path.count("z") == 2
    assert two.path == "M0.05 50.00h0.9v-50.00h-0.9zM1.05 100.00h0.9v-100.00h-0.9z"


def test_a_bar_for_more_than_nothing_can_be_seen():
    (curve,) = bars("", LABELS, [Series("units", [1, 1e6, 0])], show).curves
    assert curve.path.startswith("M0.05 100.00h0.9v-1.00")


def test_lines_have_gaps_where_there_is_no_value():
    (curve,) = lines("", ["a", "b", "c", "d", "e"], [Series("p50", [10, 20, None, 20, None])], show).curves
    assert curve.path == "M0.5 50.00L1.5 0.00M3.1 0.00h0.8"


@pytest.mark.parametrize(("largest", "top"), [(0.013, 0.02), (1, 1), (1.01, 2), (200, 200), (201, 500), (700, 1000)])
def test_scales_end_with_round_numbers(largest: float, top: float):
    assert lines("", LABELS, [Series("", [0, largest, None])], show).scale == [show(top), show(top / 2), show(0)]


def test_a_chart_of_nothing_is_empty():
    for chart in (bars("", LABELS, [Series("", [0, 0, 0])], show), lines("", LABELS, [Series("", [None] * 3)], show)):
        assert chart.empty
        assert chart.scale[0] == "1 ms"


def test_each_step_says_its_values():
    chart = lines("", LABELS, [Series("p50", [1, None, 3]), Series("p99", [4, 5, 6])], show)
    assert chart.marks[1].shown == ["–", "5 ms"]
    assert chart.marks[1].title == "Tue\np50: –\np99: 5 ms"
    assert lines("", LABELS, [Series("p50", [1, 2, 3])], show).marks[0].title == "Mon: 1 ms"
    assert (chart.ends, chart.width) == (LABELS, 3)
