import re
import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from inference import conf
from inference.management.commands import prune_requests
from inference.models import InferenceRequest
from inference.request_log.audit.chain_writer import ChainWriter
from inference.request_log.audit.verification import Verification
from inference.request_log.entry import Entry, to_row

pytestmark = pytest.mark.django_db(transaction=True)  # SQLite truncates its log only outside of a transaction


def run(command: str, **options: Any) -> str:
    out = StringIO()
    call_command(command, stdout=out, **options)
    return out.getvalue()


def store(*days_old: float) -> None:
    """One row per age; ages are also the request ids."""
    now = datetime.now(UTC)
    known: dict[str, Any] = {"transport": "http", "status": "ok", "total_ms": 1}
    InferenceRequest.objects.bulk_create(
        InferenceRequest(request_id=f"{age:g}", received_at=now - timedelta(days=age), **known) for age in days_old
    )


def kept() -> list[str]:
    return list(InferenceRequest.objects.order_by("-received_at", "-id").values_list("request_id", flat=True))


# prune_requests


def test_prune_deletes_what_is_older():
    store(1, 9, 11, 30)
    out = run("prune_requests", days=10)
    assert kept() == ["1", "9"]
    assert "2 of 2 rows older than 10 days deleted" in out


def test_prune_deletes_the_oldest_beyond_the_most_rows():
    store(4, 2, 1, 3)
    assert "2 of 2 rows beyond the newest 2 deleted" in run("prune_requests", max_rows=2)
    assert kept() == ["1", "2"]


def test_prune_does_both():
    store(1, 2, 3, 40, 50)
    out = run("prune_requests", days=10, max_rows=2)
    assert kept() == ["1", "2"]
    assert "2 of 2 rows older" in out
    assert "1 of 1 rows beyond" in out


def test_prune_keeps_exactly_the_most_rows_of_one_moment():
    now = datetime.now(UTC)
    for number in range(5):
        InferenceRequest.objects.create(
            request_id=str(number), received_at=now, transport="http", status="ok", total_ms=1
        )
    run("prune_requests", max_rows=3)
    assert kept() == ["4", "3", "2"]


def test_prune_takes_its_limits_from_the_settings(settings: Any):
    settings.INFERENCE = conf.Conf(log_days=5, log_max_rows=2)
    store(1, 2, 3, 6)
    run("prune_requests")
    assert kept() == ["1", "2"]


def test_prune_deletes_in_chunks_and_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prune_requests, "CHUNK_ROWS", 2)
    store(1, 20, 21, 22, 23, 24)
    out = run("prune_requests", days=10)
    assert re.findall(r"(\d+) of 5 rows", out) == ["2", "4", "5"]
    assert kept() == ["1"]


def test_a_dry_run_deletes_nothing():
    store(1, 2, 30)
    out = run("prune_requests", days=10, max_rows=1, dry_run=True)
    assert len(kept()) == 3
    assert "1 rows older than 10 days would be deleted" in out
    assert "1 rows beyond the newest 1 would be deleted" in out


def test_prune_of_an_empty_log_says_so():
    assert run("prune_requests").count("No rows") == 2


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has this write-ahead log")
def test_prune_ends_with_the_truncation_of_the_write_ahead_log():
    store(40)
    with CaptureQueriesContext(connection) as captured:
        run("prune_requests")
    assert captured[-1]["sql"] == "PRAGMA wal_checkpoint(TRUNCATE)"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has this write-ahead log")
def test_prune_says_if_the_write_ahead_log_is_in_use():
    def busy(execute: Any, sql: str, *args: Any) -> Any:
        return execute(sql.replace("PRAGMA wal_checkpoint(TRUNCATE)", "SELECT 1, 0, 0"), *args)

    with connection.execute_wrapper(busy):
        assert "in use" in run("prune_requests")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"days": 0}, "--days is 0; it must be a whole number from 1 to 36500."),
        ({"days": 10**9}, "--days is 1000000000; it must be"),
        ({"max_rows": -1}, "--max-rows is -1; it must be a whole number from 1 to"),
    ],
)
def test_prune_refuses_impossible_limits(options: dict[str, int], sentence: str):
    store(1)
    with pytest.raises(CommandError, match=re.escape(sentence)):
        run("prune_requests", **options)
    assert kept() == ["1"]


def test_prune_refuses_what_is_no_number():
    with pytest.raises(CommandError, match="invalid int value: 'ten'"):
        call_command("prune_requests", "--days", "ten")


# create_first_admin


def test_the_first_admin_can_log_in_with_the_printed_password():
    out = run("create_first_admin")
    assert "/admin/" in out
    (password,) = re.findall(r", password (\S+)", out)
    user = authenticate(RequestFactory().get("/admin/"), username="admin", password=password)
    assert user is not None
    assert user.is_superuser


def test_the_password_is_stored_only_as_a_hash():
    (password,) = re.findall(r", password (\S+)", run("create_first_admin"))
    assert not User.objects.filter(password__contains=password).exists()


def test_passwords_are_random():
    first = run("create_first_admin")
    User.objects.all().delete()
    assert run("create_first_admin") != first


def test_no_second_admin_is_created():
    User.objects.create(username="someone")
    assert run("create_first_admin") == ""
    assert User.objects.count() == 1


# prune_requests of a person


def test_rows_of_a_request_are_deleted_whatever_their_age():
    store(1, 2, 400)
    assert "1 rows would be deleted, and texts of 0 audited rows erased" in run(
        "prune_requests", request="1", dry_run=True
    )
    assert "1 rows deleted" in run("prune_requests", request="1")
    assert kept() == ["2", "400"], "nothing else is pruned by the way"


def test_of_an_audited_row_only_the_texts_are_erased():
    store(1)
    writer = ChainWriter()
    rows = [to_row(Entry(request_id=f"a{n}", received_at=time.time() - 5, transport="http", client="192.0.2.1",
                         preview="text", status="ok", total_ms=1)) for n in range(3)]  # fmt: skip
    with writer.chained(rows, [0, 0, 0]):
        InferenceRequest.objects.bulk_create(rows)
    assert "inputs of 1 audited rows erased" in run("prune_requests", request="a1")
    texts = InferenceRequest.objects.filter(request_id__startswith="a").order_by("id").values_list("preview", "client")
    assert list(texts) == [("text", "192.0.2.1"), ("", None), ("text", "192.0.2.1")]
    assert not any(Verification().findings())


def test_pruning_keeps_the_audit_verifiable():
    now = time.time()
    writer = ChainWriter()
    rows = [to_row(Entry(request_id=f"a{n}", received_at=now - age * 86_400, transport="http", client=None, status="ok",
                         total_ms=1)) for n, age in enumerate((40, 20, 35, 1))]  # fmt: skip
    with writer.chained(rows, [0] * 4):
        InferenceRequest.objects.bulk_create(rows)
    store(50)
    out = run("prune_requests", days=30)
    assert "2 of 3 rows older than 30 days deleted." in out
    assert "1 rows stay until those before them in their audit chain are pruned." in out
    assert kept() == ["a3", "a1", "a2"]
    assert not any(Verification().findings())
    run("prune_requests", days=10)
    assert kept() == ["a3"]
    run("prune_requests", max_rows=1)
    assert not any(Verification().findings())
