from typing import Any

import pytest
from django.db import connection

from inference.models import InferenceRequest
from inference.request_log.entry import Entry, to_row


def entry(number: int = 0, **fields: Any) -> Entry:
    known = {"received_at": 1_800_000_000.25, "transport": "http", "client": "192.0.2.7", "status": "ok", "total_ms": 3}
    return Entry(**{"request_id": f"{number:032x}", **known, **fields})


def test_texts_are_cut_to_their_columns():
    row = to_row(entry(request_id="r" * 99, pipeline="p" * 999, code="c" * 99, worker="w" * 99, preview="i" * 9999))
    assert [len(text) for text in (row.request_id, row.pipeline, row.code, row.worker)] == [64, 200, 32, 32]
    assert len(row.preview) == 9999


def test_no_text_keeps_what_a_database_refuses():
    row = to_row(entry(message="a\0b\udfffc", worker="\0"))
    assert (row.message, row.worker) == ("a\ufffdb?c", "\ufffd")


@pytest.mark.parametrize(
    ("client", "stored"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("testclient", None),
        ("", None),
        (None, None),
    ],
)
def test_an_invalid_client_address_becomes_null(client: str | None, stored: str | None):
    assert to_row(entry(client=client)).client == stored


@pytest.mark.django_db
def test_processes_of_the_release_before_can_write_rows_after_the_migration():
    """They know no version, and an upgrade migrates first."""
    columns: dict[str, str | int | float] = {
        "request_id": "r",
        "received_at": "2026-01-01",
        "transport": "http",
        "pipeline": "p",
        "inputs": 1,
    }
    columns |= {"preview": "", "status": "ok", "code": "", "message": "", "times_sent": 1, "worker": "w"}
    columns |= {"batch_size": 1, "total_ms": 1.0, "count": 1}
    with connection.cursor() as cursor:
        marks = ", ".join(["%s"] * len(columns))
        names = ", ".join(columns)
        cursor.execute(f"INSERT INTO inference_inferencerequest ({names}) VALUES ({marks})", [*columns.values()])  # noqa: S608
    row = InferenceRequest.objects.get()
    assert (row.version, row.dialect, row.key, row.owner, row.model_ms, row.units) == ("", "", "", "", None, 0)
