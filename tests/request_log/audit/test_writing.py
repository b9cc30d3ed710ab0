"""The request log with an audit: what its thread writes is a chain, in outages too."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections

from inference.models import AuditChain, InferenceRequest, RollUp, RollUpDelta, Usage
from inference.request_log.audit.verification import Verification
from inference.request_log.entry import Entry
from inference.request_log.writer import RequestLog
from inferencesite.settings import SQLITE
from tests.request_log.test_writer import entry, wait_until

MakeLog = Callable[..., RequestLog]


@pytest.fixture
def database(tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    settings, own = connections.settings["default"], connections["default"]
    path = tmp_path / "log.sqlite3"
    connections.settings |= connections.configure_settings({"default": SQLITE | {"NAME": str(path)}})
    connections["default"] = connections.create_connection("default")
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            editor.create_model(InferenceRequest)
            editor.create_model(AuditChain)
            editor.create_model(Usage)
            editor.create_model(RollUp)
            editor.create_model(RollUpDelta)
        yield path
        connection.close()
    connections.settings["default"], connections["default"] = settings, own


@contextmanager
def log(**options: Any) -> Iterator[RequestLog]:
    made = RequestLog(**{"interval_s": 0.01, "longest_retry_s": 0.1, "audit": True, **options})
    made.start()
    try:
        yield made
    finally:
        asyncio.run(made.stop(60))


def verified() -> Verification:
    verification = Verification()
    assert [found for found in verification.findings() if found] == []
    return verification


def record(writer: RequestLog, *entries: Entry) -> None:
    for one in entries:
        writer.record(one)


def test_what_is_written_is_a_chain_for_each_start(database: Path):
    for _ in range(2):
        with log() as writer:
            record(writer, *(entry(n) for n in range(450)))
    totals = verified().totals
    assert (totals.rows, totals.chains, totals.dropped) == (900, 2, 0)


def test_a_rejected_row_is_a_gap(database: Path):
    with log() as writer:
        record(writer, entry(1), entry(2, total_ms="no number"), entry(3), entry(4, received_at=1e30), entry(5))
    totals = verified().totals
    assert (totals.rows, totals.dropped, writer.dropped) == (3, 2, 2)


def test_requests_dropped_in_an_outage_are_a_gap_where_they_are_missing(database: Path):
    with closing(sqlite3.connect(database, isolation_level=None)) as other, log(capacity=5) as writer:
        other.execute("BEGIN IMMEDIATE")
        record(writer, *(entry(n) for n in range(9)))
        assert writer.dropped == 4
        other.execute("COMMIT")
        wait_until(lambda: writer.written == 5)
        record(writer, entry(20))
    totals = verified().totals
    assert (totals.rows, totals.dropped) == (6, 4)
    numbers = list(InferenceRequest.objects.order_by("id").values_list("audit_number", flat=True))
    assert numbers == [1, 2, 3, 4, 5, 10]


def test_a_batch_whose_commit_was_not_confirmed_is_in_the_log_once(database: Path, monkeypatch: pytest.MonkeyPatch):
    lost: list[int] = []
    driver: Any = type(connections["default"])
    commit = driver._commit

    def unconfirmed(self: Any) -> None:
        commit(self)
        if InferenceRequest.objects.exists() and not lost:
            lost.append(1)
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(driver, "_commit", unconfirmed)
    with log() as writer:
        record(writer, *(entry(n) for n in range(5)))
        wait_until(lambda: lost)
        record(writer, *(entry(n) for n in range(5, 9)))
    assert lost
    assert (verified().totals.rows, writer.written) == (9, 9)


def test_a_chain_that_somebody_changes_is_left(database: Path, caplog: pytest.LogCaptureFixture):
    with log() as writer:
        record(writer, entry(1))
        wait_until(lambda: writer.written == 1)
        InferenceRequest.objects.all().delete()
        AuditChain.objects.filter(number=1).delete()
        record(writer, entry(2))
        wait_until(lambda: writer.written == 2)
    assert "the audit chain 1 is not as this process left it" in caplog.text
    assert "Chain 1 was removed." in list(Verification().findings())
