"""Quantiles from buckets are those of the values, within the accuracy that is stated."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.request_log.rollup.quantiles import ACCURACY, SHORTEST_MS, bucket, merge, quantiles

PARTS = (0.0, 0.5, 0.95, 0.99, 1.0)
times = st.lists(st.floats(SHORTEST_MS, 1e8), min_size=1)


def exact(values: list[float], part: float) -> float:
    return sorted(values)[int(part * (len(values) - 1))]


@given(times)
def test_a_quantile_is_that_of_the_values(values: list[float]):
    found = quantiles(Counter(map(bucket, values)), PARTS)
    assert found == [pytest.approx(exact(values, part), rel=ACCURACY + 1e-9) for part in PARTS]


@given(times, times)
def test_merged_counts_are_those_of_all_values(some: list[float], others: list[float]):
    counts = Counter(map(bucket, some))
    merge(counts, Counter(map(bucket, others)))
    assert counts == Counter(map(bucket, some + others))


@pytest.mark.parametrize("ms", [0.0, -1.0, SHORTEST_MS / 2])
def test_the_shortest_times_count_as_one(ms: float):
    assert quantiles({bucket(ms): 1}, [0.5]) == [pytest.approx(SHORTEST_MS, rel=ACCURACY)]


def test_without_values_there_is_none():
    assert quantiles({}, [0.5, 0.99]) == [None, None]


def test_an_hour_of_times_has_few_buckets():
    assert bucket(3_600_000) - bucket(SHORTEST_MS) == 493


@pytest.mark.parametrize("ms", [math.inf, math.nan])
def test_what_is_no_time_is_refused(ms: float):
    with pytest.raises((ValueError, OverflowError)):
        bucket(ms)
