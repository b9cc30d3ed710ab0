from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.request_log.aggregation import RefusalAggregator
from inference.request_log.entry import Entry
from tests.request_log.test_entry import entry


def refusal(number: int = 0, **fields: Any) -> Entry:
    return entry(number, **{"status": "refused", "code": "overloaded", **fields})


def test_the_first_refusals_of_a_second_keep_a_row_each():
    refusals = RefusalAggregator(rows_per_second=3)
    assert [len(refusals.add(refusal(n), now=10.0)) for n in range(3)] == [1, 1, 1]


def test_similar_refusals_beyond_the_limit_share_the_row_of_the_first():
    refusals = RefusalAggregator(rows_per_second=1)
    assert [len(refusals.add(refusal(n), now=10.9)) for n in range(5)] == [1, 0, 0, 0, 0]
    (shared,) = refusals.flush()
    assert (shared.request_id, shared.count) == (refusal(1).request_id, 4)


@pytest.mark.parametrize(
    "difference", [{"code": "draining"}, {"transport": "websocket"}, {"pipeline": "other"}, {"key": "other"}]
)
def test_refusals_that_differ_do_not_share_a_row(difference: dict[str, str]):
    refusals = RefusalAggregator(rows_per_second=0)
    refusals.add(refusal(1), now=10)
    refusals.add(refusal(2, **difference), now=10)
    assert [shared.count for shared in refusals.flush()] == [1, 1]


def test_a_shared_row_is_complete_when_its_second_has_passed():
    refusals = RefusalAggregator(rows_per_second=1)
    for n in range(3):
        refusals.add(refusal(n), now=10.5)
    assert refusals.pop_complete(11.4) == []
    assert [shared.count for shared in refusals.pop_complete(11.5)] == [2]
    assert refusals.pop_complete(11.5) == []


def test_the_first_refusal_of_the_next_second_completes_the_shared_rows():
    refusals = RefusalAggregator(rows_per_second=1)
    for n in range(3):
        refusals.add(refusal(n), now=10)
    assert [(row.request_id, row.count) for row in refusals.add(refusal(9), now=12)] == [
        (refusal(1).request_id, 2),
        (refusal(9).request_id, 1),
    ]


def test_a_shared_row_of_several_clients_names_none():
    refusals = RefusalAggregator(rows_per_second=0)
    for client in ("192.0.2.7", "192.0.2.7", "192.0.2.8"):
        refusals.add(refusal(client=client), now=10)
    assert [shared.client for shared in refusals.flush()] == [None]


def test_a_shared_row_has_the_units_of_all():
    """Of answers that were too large to be sent."""
    refusals = RefusalAggregator(rows_per_second=0)
    for dialect in ("openai", "native"):
        refusals.add(refusal(units=4, model_ms=1.5, dialect=dialect), now=10)
    assert [(row.units, row.model_ms, row.dialect) for row in refusals.flush()] == [(8, 3.0, "")]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["overloaded", "draining", "loading"]))))
def test_no_refusal_is_lost_or_counted_twice(arrivals: list[tuple[float, str]]):
    refusals, now, rows = RefusalAggregator(rows_per_second=2), 0.0, list[Entry]()
    for pause, code in arrivals:
        now += pause
        rows += refusals.add(refusal(code=code), now)
    rows += refusals.flush()
    assert sum(row.count for row in rows) == len(arrivals)
