import csv
import io
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inference.models import InferenceRequest
from inference.request_log import export as log_export
from inference.request_log.export import COLUMNS

NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def store(number: int, **fields: Any) -> None:
    known = {"received_at": NOON + timedelta(days=number), "transport": "http", "status": "ok", "total_ms": 1.5}
    InferenceRequest.objects.create(**{"request_id": f"r{number}", **known, **fields})


def export(*arguments: str) -> str:
    out = StringIO()
    call_command("export_requests", *arguments, stdout=out)
    return out.getvalue()


def ids(*arguments: str) -> list[str]:
    return [json.loads(line)["request_id"] for line in export(*arguments).splitlines()]


def test_json_lines_have_every_column():
    store(1, preview='"é"\n', version="1a2b")
    (row,) = [json.loads(line) for line in export().splitlines()]
    assert tuple(row) == COLUMNS
    assert (row["preview"], row["version"], row["total_ms"]) == ('"é"\n', "1a2b", 1.5)
    assert row["received_at"] == "2027-03-15T12:00:00+00:00"


def test_csv_has_every_column_and_no_formula():
    store(1, preview='=1+1, "x"\ny')
    rows = list(csv.DictReader(io.StringIO(export("--format", "csv"))))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["preview"] == '\'=1+1, "x"\ny'
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], ["r0", "r1", "r2", "r3"]),
        (["--from", "2027-03-15"], ["r1", "r2", "r3"]),
        (["--to", "2027-03-15"], ["r0", "r1"]),
        (["--from", "2027-03-15T12:00", "--to", "2027-03-16T11:59:59"], ["r1"]),
        (["--from", "2027-03-15T13:00+01:00", "--to", "2027-03-15"], ["r1"]),
        (["--request", "r2"], ["r2"]),
        (["--request", "nobody"], []),
    ],
)
def test_rows_are_chosen(arguments: list[str], found: list[str]):
    for number in (3, 1, 0, 2):
        store(number)
    assert ids(*arguments) == found


def test_all_rows_of_one_moment_are_exported_in_pages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_export, "PAGE_ROWS", 2)
    for number in range(5):
        store(number, received_at=NOON)
    with CaptureQueriesContext(connection) as captured:
        assert ids() == [f"r{number}" for number in range(5)]
    assert len(captured) == 4
    assert all("LIMIT 2" in query["sql"] for query in captured)
