"""What requests come to by key, pipeline and day."""

from datetime import date
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connection
from hypothesis import given
from hypothesis import strategies as st

from inference.models import Usage
from inference.request_log import usage_table
from inference.request_log.entry import Entry
from inference.request_log.usage import FIGURES, UsageCounter
from tests.request_log.test_entry import entry

MIDNIGHT = 1_800_057_600.0
"""That began 16 January 2027 in UTC."""
KEYED: dict[str, Any] = {"key": "a1B2c3D4", "key_name": "nightly", "owner": "acme", "pipeline": "chat"}


def counted(*entries: Entry) -> list[dict[str, Any]]:
    """The rows, without what is zero or empty."""
    rows = [{name: getattr(row, name) for name in usage_table.COLUMNS} for row in UsageCounter(entries).rows()]
    return [{name: value for name, value in row.items() if value} for row in rows]


def add(*entries: Entry) -> None:
    usage_table.add(UsageCounter(entries).rows(), DEFAULT_DB_ALIAS)


def test_an_answered_request_counts_with_its_inputs_units_and_time():
    asked = entry(received_at=MIDNIGHT, inputs=3, units=40, model_ms=2.5, **KEYED)
    assert counted(asked, asked) == [
        {"day": date(2027, 1, 16), "key": "a1B2c3D4", "name": "nightly", "owner": "acme", "pipeline": "chat"}
        | {"requests": 2, "inputs": 6, "units": 80, "model_ms": 5.0}
    ]


@pytest.mark.parametrize("status", ["refused", "failed", "cancelled"])
def test_another_one_counts_without_its_inputs(status: str):
    """Those of one that was cancelled have not been answered; the tokens that it got are known."""
    (row,) = counted(entry(status=status, inputs=3, units=7, count=2))
    assert {name: row.get(name, 0) for name in FIGURES} == dict.fromkeys(FIGURES, 0) | {
        "requests": 2,
        "units": 7,
        status: 2,
    }


def test_days_are_those_of_utc_at_arrival():
    days = [row["day"] for row in counted(entry(received_at=MIDNIGHT - 1e-3), entry(received_at=MIDNIGHT))]
    assert days == [date(2027, 1, 15), date(2027, 1, 16)]


@pytest.mark.parametrize("other", [{"key": "e5F6g7H8"}, {"pipeline": "words"}, {"received_at": MIDNIGHT + 86_400}])
def test_keys_pipelines_and_days_are_kept_apart(other: dict[str, Any]):
    known = {"received_at": MIDNIGHT, **KEYED}
    assert len(counted(entry(**known), entry(**(known | other)))) == 2


def test_a_key_that_was_renamed_is_one_row_with_its_last_name():
    (row,) = counted(entry(**KEYED), entry(**(KEYED | {"key_name": "hourly", "owner": "initech"})))
    assert (row["name"], row["owner"], row["requests"]) == ("hourly", "initech", 2)


def test_texts_fit_into_their_columns():
    (row,) = UsageCounter([entry(key="k" * 9, key_name="n" * 999, owner="\0" * 999, pipeline="p" * 999)]).rows()
    assert [len(text) for text in (row.key, row.name, row.owner, row.pipeline)] == [8, 100, 100, 200]
    assert "\0" not in row.owner


def test_rows_are_in_one_order_in_every_process():
    keys = ["c", "a", "b"]
    assert [row.key for row in UsageCounter(entry(key=key) for key in keys).rows()] == sorted(keys)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["ok", "refused", "failed"]), st.integers(1, 5))))
def test_counters_add_up_however_they_are_divided(asked: list[tuple[str, str, int]]):
    entries = [entry(key=key, status=status, units=units, inputs=1) for key, status, units in asked]
    whole, parts = UsageCounter(entries), UsageCounter(entries[::2])
    parts.update(UsageCounter(entries[1::2]))
    assert [[getattr(row, name) for name in FIGURES] for row in whole.rows()] == [
        [getattr(row, name) for name in FIGURES] for row in parts.rows()
    ]


@pytest.fixture(params=[True, False], ids=["upsert", "without upsert"])
def _any_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    features = type(connection.features)
    monkeypatch.setattr(features, "supports_update_conflicts_with_target", request.param)


@pytest.mark.django_db
@pytest.mark.usefixtures("_any_database")
def test_what_several_processes_count_is_added():
    add(entry(units=5, inputs=1, model_ms=1.5, **KEYED), entry(status="failed", **KEYED))
    add(entry(units=6, inputs=2, model_ms=2.0, **(KEYED | {"owner": "initech"})), entry(pipeline="words"))
    found = Usage.objects.get(key="a1B2c3D4")
    assert [getattr(found, name) for name in FIGURES] == [3, 3, 11, 3.5, 0, 1, 0]
    assert (found.owner, found.name) == ("initech", "nightly")
    assert Usage.objects.count() == 2


@pytest.mark.django_db
def test_many_keys_are_written_in_several_statements():
    for _ in range(2):
        add(*[entry(key=f"{number:08}") for number in range(120)])
    assert set(Usage.objects.values_list("requests", flat=True)) == {2}
    assert Usage.objects.count() == 120


@pytest.mark.django_db
def test_sums_by_columns():
    add(entry(units=1, **KEYED), entry(units=2, **(KEYED | {"key": "e5F6g7H8"})), entry(units=4))
    by_owner = usage_table.summed(Usage.objects.all(), ["owner"])
    assert [(row["owner"], row["units"], row["requests"]) for row in by_owner] == [("", 4, 1), ("acme", 3, 2)]
    assert [row["units"] for row in usage_table.summed(Usage.objects.all(), [])] == [7]
    assert [row["model_ms"] for row in usage_table.summed(Usage.objects.none(), [])] == [0]


@pytest.mark.django_db
def test_limits_begin_from_what_keys_have_used_on_a_day():
    asked: dict[str, Any] = {"received_at": MIDNIGHT, **KEYED}
    add(
        entry(units=5, **asked), entry(units=6, **(asked | {"pipeline": "words"})), entry(units=9, received_at=MIDNIGHT)
    )
    add(entry(units=7, **(asked | {"received_at": MIDNIGHT - 1})))
    assert usage_table.used_today(date(2027, 1, 16)) == {"a1B2c3D4": 11}
    assert usage_table.used_today() == {}


def test_a_spreadsheet_computes_nothing():
    assert usage_table.csv_cells(["=1+1", "-", "a=b", 7, -7]) == ["'=1+1", "'-", "a=b", 7, -7]
