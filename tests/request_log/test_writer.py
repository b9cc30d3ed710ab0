import asyncio
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.signals import connection_created
from django.db.models import Count, Sum

from inference.models import InferenceRequest, RollUp, RollUpDelta, Usage
from inference.request_log.entry import Entry
from inference.request_log.writer import RequestLog
from inferencesite.settings import SQLITE

TABLE = InferenceRequest._meta.db_table
MakeLog = Callable[..., RequestLog]
OnConnect = Callable[[Callable[[Any], object]], None]


def entry(number: int = 0, **fields: Any) -> Entry:
    known = {"received_at": 1_800_000_000.25, "transport": "http", "client": "192.0.2.7", "status": "ok", "total_ms": 3}
    return Entry(**{"request_id": f"{number:032x}", **known, **fields})


def refusal(number: int = 0, **fields: Any) -> Entry:
    return entry(number, **{"status": "refused", "code": "overloaded", **fields})


def wait_until(condition: Callable[[], object], deadline_s: float = 60) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)


def stop(log: RequestLog, timeout_s: float = 60) -> None:
    asyncio.run(log.stop(timeout_s))


def rename_table(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process writes to the database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def database(tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    """A database file, as in production: locking between threads differs from an in-memory database."""
    settings, own = connections.settings["default"], connections["default"]
    path = tmp_path / "log.sqlite3"
    connections.settings |= connections.configure_settings({"default": SQLITE | {"NAME": str(path)}})
    connections["default"] = connections.create_connection("default")
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            editor.create_model(InferenceRequest)
            editor.create_model(Usage)
            editor.create_model(RollUp)
            editor.create_model(RollUpDelta)
        yield path
        connection.close()
    connections.settings["default"], connections["default"] = settings, own


@pytest.fixture
def make_log(database: Path) -> Iterator[MakeLog]:
    """Makes logs, which are stopped after the test."""
    made: list[RequestLog] = []

    def make(**options: Any) -> RequestLog:
        made.append(RequestLog(**{"interval_s": 0.01, "longest_retry_s": 0.1, **options}))
        return made[-1]

    yield make
    for log in made:
        stop(log)


@pytest.fixture
def on_connect() -> Iterator[OnConnect]:
    """Calls a function with each connection that a writer thread opens."""
    receivers: list[Callable[..., None]] = []

    def add(action: Callable[[Any], object]) -> None:
        def receiver(connection: Any, **_: Any) -> None:
            action(connection)

        receivers.append(receiver)
        connection_created.connect(receiver)

    yield add
    for receiver in receivers:
        connection_created.disconnect(receiver)


def written_before_each_insert(log: RequestLog, on_connect: OnConnect) -> set[int]:
    """How much had been written whenever an INSERT began; grows as the log works."""
    seen: set[int] = set()

    def watch(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith("INSERT"):
            seen.add(log.written)
        return execute(sql, *rest)

    on_connect(lambda made: made.execute_wrappers.append(watch))
    return seen


def test_a_connection_serves_many_batches(make_log: MakeLog, on_connect: OnConnect):
    made: list[Any] = []
    on_connect(made.append)
    log = make_log()
    for n in range(450):
        log.record(entry(n))
    log.start()
    wait_until(lambda: log.written == 450)
    assert len(made) == 1


def test_every_field_is_written(make_log: MakeLog):
    log = make_log()
    log.start()
    log.record(entry(7, pipeline="bert", inputs=2, preview="a", status="failed", code="timeout", message="Too late."))
    wait_until(lambda: log.written)
    row = InferenceRequest.objects.get()
    assert (row.request_id, row.received_at.timestamp(), row.client) == (f"{7:032x}", 1_800_000_000.25, "192.0.2.7")
    assert (row.pipeline, row.inputs, row.preview, row.status) == ("bert", 2, "a", "failed")
    assert (row.code, row.message, row.queue_ms, row.total_ms) == ("timeout", "Too late.", None, 3)


def test_fifty_refusals_a_second_get_a_row_each(make_log: MakeLog, monkeypatch: pytest.MonkeyPatch):
    """The others share a row and have no log record."""
    log = make_log()
    monkeypatch.setattr("inference.request_log.writer.time", SimpleNamespace(monotonic=lambda: 5.0))
    alone = [log.record(entry(n, status="refused", code="overloaded")) for n in range(80)]
    assert sum(alone) == 50
    assert log.record(entry(99))


def test_what_was_recorded_before_the_start_is_written(make_log: MakeLog):
    log = make_log()
    log.record(entry())
    log.start()
    wait_until(lambda: log.written == 1)


def test_a_full_batch_does_not_wait_for_the_interval(make_log: MakeLog):
    log = make_log(interval_s=3600)
    log.start()
    for n in range(200):
        log.record(entry(n))
    wait_until(lambda: log.written == 200)


def test_no_batch_is_larger_than_200_rows(make_log: MakeLog, on_connect: OnConnect):
    log = make_log()
    for n in range(450):
        log.record(entry(n))
    before = written_before_each_insert(log, on_connect)
    log.start()
    wait_until(lambda: log.written == 450)
    assert before == {0, 200, 400}


def test_large_previews_make_small_batches(make_log: MakeLog, on_connect: OnConnect):
    log = make_log()
    for n in range(4):
        log.record(entry(n, preview="x" * 400_000))
    before = written_before_each_insert(log, on_connect)
    log.start()
    wait_until(lambda: log.written == 4)
    assert before == {0, 2}


def test_a_stop_writes_everything(make_log: MakeLog):
    log = make_log(interval_s=3600)
    log.start()
    for n in range(1000):
        log.record(entry(n))
    for n in range(500):
        log.record(refusal(n))
    stop(log)
    assert (log.written, log.dropped) == (1500, 0)
    assert sum(InferenceRequest.objects.values_list("count", flat=True)) == 1500


def test_a_flood_of_refusals_becomes_few_rows(make_log: MakeLog):
    log = make_log()
    log.start()
    began = time.monotonic()
    for n in range(5000):
        log.record(refusal(n))
    seconds = int(time.monotonic() - began) + 1
    wait_until(lambda: log.written == 5000)
    assert 51 <= InferenceRequest.objects.count() <= 51 * seconds
    assert sum(InferenceRequest.objects.values_list("count", flat=True)) == 5000


def test_start_is_idempotent(make_log: MakeLog):
    log = make_log()
    before = set(threading.enumerate())
    log.start()
    log.start()
    assert len(set(threading.enumerate()) - before) == 1


def test_a_stopped_log_can_be_started_again(make_log: MakeLog):
    log = make_log()
    log.start()
    stop(log)
    stop(log)
    log.record(entry())
    log.start()
    wait_until(lambda: log.written == 1)


def test_a_log_that_never_started_can_be_stopped():
    stop(RequestLog())


def test_a_full_buffer_drops_and_counts(make_log: MakeLog):
    log = make_log(capacity=3)
    for n in range(5):
        log.record(entry(n))
    assert log.dropped == 2
    log.start()
    wait_until(lambda: log.written == 3)
    log.record(entry(9))
    wait_until(lambda: log.written == 4)
    assert log.dropped == 2


def test_the_buffer_is_bounded_in_characters_too(make_log: MakeLog):
    log = make_log(capacity_chars=1000)
    for n in range(5):
        log.record(entry(n, preview="x" * 400))
    assert log.dropped == 2
    log.start()
    wait_until(lambda: log.written == 3)
    log.record(entry(9, preview="x" * 400))
    wait_until(lambda: log.written == 4)


@pytest.mark.parametrize("bad", [{"total_ms": math.nan}, {"inputs": -1}, {"received_at": math.inf}, {"inputs": 2**70}])
def test_a_row_that_the_database_rejects_does_not_block_the_others(
    make_log: MakeLog, caplog: pytest.LogCaptureFixture, bad: dict[str, Any]
):
    log = make_log()
    for n in range(10):
        log.record(entry(n, **(bad if n == 6 else {})))
    log.start()
    wait_until(lambda: log.written == 9)
    assert log.dropped == 1
    written = set(InferenceRequest.objects.values_list("request_id", flat=True))
    assert written == {entry(n).request_id for n in range(10)} - {entry(6).request_id}
    (line,) = caplog.messages
    assert entry(6).request_id in line


def test_an_outage_loses_nothing_while_there_is_room(make_log: MakeLog, caplog: pytest.LogCaptureFixture):
    log = make_log(capacity=500)
    rename_table(TABLE, "elsewhere")
    log.start()
    for n in range(300):
        log.record(entry(n))
    wait_until(lambda: caplog.messages)
    for n in range(300, 520):
        log.record(entry(n))
    assert (log.written, log.dropped) == (0, 20)
    rename_table("elsewhere", TABLE)
    wait_until(lambda: log.written == 500)
    assert InferenceRequest.objects.count() == 500
    wait_until(lambda: len(caplog.messages) == 2)
    assert "cannot be written" in caplog.messages[0]
    assert "20 requests were dropped" in caplog.messages[1]


def test_an_outage_is_reported_once(make_log: MakeLog, on_connect: OnConnect, caplog: pytest.LogCaptureFixture):
    attempts: list[Any] = []
    on_connect(attempts.append)
    log = make_log()
    rename_table(TABLE, "elsewhere")
    log.record(entry())
    log.start()
    wait_until(lambda: len(attempts) >= 3)
    assert len(caplog.messages) == 1
    rename_table("elsewhere", TABLE)
    wait_until(lambda: log.written == 1)


def test_two_outages_are_two_reports(make_log: MakeLog, caplog: pytest.LogCaptureFixture):
    log = make_log()
    log.start()
    for outage in (1, 2):
        rename_table(TABLE, "elsewhere")
        log.record(entry(outage))
        wait_until(lambda: len(caplog.messages) % 2)
        rename_table("elsewhere", TABLE)
        wait_until(lambda: not len(caplog.messages) % 2)
    assert len(caplog.messages) == 4
    assert log.written == 2


def test_an_error_outside_the_database_is_logged_with_a_traceback(
    make_log: MakeLog, on_connect: OnConnect, caplog: pytest.LogCaptureFixture
):
    failures = [RuntimeError("a bug in a driver")]

    def fail_once(_: Any) -> None:
        if failures:
            raise failures.pop()

    on_connect(fail_once)
    log = make_log()
    log.record(entry())
    log.start()
    wait_until(lambda: log.written == 1)
    assert caplog.records[0].exc_info


def test_a_locked_database_delays_no_caller(make_log: MakeLog, on_connect: OnConnect, database: Path):
    busy = threading.Event()
    on_connect(lambda _: busy.set())
    log = make_log()
    log.start()
    with locked(database):
        log.record(entry(0))
        assert busy.wait(60)  # from here on, the writer waits for the lock
        began = time.perf_counter()
        for n in range(1, 5000):
            log.record(entry(n))
        assert time.perf_counter() - began < SQLITE["OPTIONS"]["timeout"], "not even one waited for the lock"
        assert log.written == 0
    wait_until(lambda: log.written == 5000)


async def test_a_stop_leaves_the_event_loop_free(make_log: MakeLog, database: Path):
    log = make_log()
    with locked(database):
        log.record(entry())
        log.start()
        stopping = asyncio.create_task(log.stop(20))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not stopping.done()
    await stopping
    assert log.written == 1


def test_a_stop_gives_up_on_a_dead_database_and_says_so(make_log: MakeLog, caplog: pytest.LogCaptureFixture):
    log = make_log()
    rename_table(TABLE, "elsewhere")
    log.start()
    for n in range(60):
        log.record(refusal(n))
    stop(log, timeout_s=0.3)
    assert "without 60 requests" in caplog.messages[-1]
    wait_until(lambda: not log._thread or not log._thread.is_alive())
    rename_table("elsewhere", TABLE)


# Usage


def used() -> dict[str, tuple[int, int]]:
    """Requests and units by key."""
    return {row.key: (row.requests, row.units) for row in Usage.objects.all()}


def fail_after_commit(log: RequestLog, on_connect: OnConnect) -> list[str]:
    """The connection is lost as the first commit is confirmed; the statements are noted."""
    statements: list[str] = []

    def watch(made: Any) -> None:
        commit = made._commit

        def committed() -> None:
            commit()
            if "lost" not in statements:
                statements.append("lost")
                raise OperationalError("the connection was lost")

        made._commit = committed

    on_connect(watch)
    return statements


def test_rows_and_usage_agree(make_log: MakeLog):
    log = make_log()
    log.start()
    for n in range(450):
        log.record(entry(n, key=f"key{n % 3}", units=n, inputs=1))
    stop(log)
    rows = InferenceRequest.objects.values_list("key").annotate(Count("id"), Sum("units"))
    assert used() == {key: (requests, units) for key, requests, units in rows}


def test_refusals_that_share_a_row_are_counted_by_key(make_log: MakeLog):
    log = make_log(interval_s=3600)
    log.start()
    for n in range(600):
        log.record(refusal(n, key=f"key{n % 2}"))
    stop(log)
    assert used() == {"key0": (300, 0), "key1": (300, 0)}
    assert InferenceRequest.objects.count() < 600
    assert set(Usage.objects.values_list("refused", flat=True)) == {300}


def test_entries_that_were_dropped_are_counted(make_log: MakeLog):
    log = make_log(capacity=3)
    for n in range(1000):
        log.record(entry(n, key=f"key{n % 2}", units=2))
    log.start()
    stop(log)
    assert (log.written, log.dropped) == (3, 997)
    assert used() == {"key0": (500, 1000), "key1": (500, 1000)}


def test_a_request_whose_row_is_rejected_is_counted_without_its_figures(make_log: MakeLog):
    log = make_log()
    log.start()
    log.record(entry(1, units=5, inputs=2**70))
    log.record(entry(2, units=5, received_at=math.inf))
    log.record(entry(3, units=5))
    stop(log)
    assert (log.written, log.dropped) == (1, 2)
    assert sum(row.requests for row in Usage.objects.all()) == 3
    assert sum(row.units for row in Usage.objects.all()) == 5


def test_usage_that_the_database_rejects_blocks_nothing(make_log: MakeLog, caplog: pytest.LogCaptureFixture):
    """Such as that of a dropped entry with impossible figures."""
    log = make_log(capacity=2)
    for n in range(4):
        log.record(entry(n, units=2**70 if n == 3 else 1))
    log.start()
    stop(log)
    assert log.written == 2
    assert used() == {"": (2, 2)}
    assert ["rejected the usage" in message for message in caplog.messages] == [True]


def test_a_commit_that_was_not_confirmed_is_not_repeated(make_log: MakeLog, on_connect: OnConnect):
    log = make_log(capacity=300)
    fail_after_commit(log, on_connect)
    for n in range(330):
        log.record(entry(n, units=1))
    log.start()
    wait_until(lambda: log.written == 300)
    stop(log)
    assert InferenceRequest.objects.count() == 300
    assert used() == {"": (330, 330)}


def test_a_database_that_is_away_makes_usage_no_larger(make_log: MakeLog, caplog: pytest.LogCaptureFixture):
    log = make_log(capacity=10)
    rename_table(Usage._meta.db_table, "elsewhere")
    log.start()
    for n in range(5000):
        log.record(entry(n, key=f"key{n % 4}", units=1))
    wait_until(lambda: caplog.messages)
    assert len(log._without_row.usage._sums) <= 4
    assert "manage.py migrate" in caplog.messages[0]
    rename_table("elsewhere", Usage._meta.db_table)
    stop(log)
    assert used() == {f"key{n}": (1250, 1250) for n in range(4)}
    assert InferenceRequest.objects.count() == log.written


def test_what_was_asked_while_a_project_was_tested_is_not_written_to_its_database(make_log: MakeLog, tmp_path: Path):
    """Django's tests put the name of another database into the settings, and take it out again at the end."""
    settings = connections["default"].settings_dict
    real = settings["NAME"]
    settings["NAME"] = str(tmp_path / "test_log.sqlite3")
    log = make_log()
    log.start()
    settings["NAME"] = real
    log.record(entry())
    wait_until(lambda: log.dropped == 1)
    assert InferenceRequest.objects.count() == 0
    assert Usage.objects.count() == 0
