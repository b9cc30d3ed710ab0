"""A real server whose database fails: inference goes on, the log says so once, and nothing is missing afterwards."""

import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests import postgres, processes
from tests.conftest import client
from tests.postgres import Postgres
from tests.processes import ROOT, START_S, Redis, Web, Worker, wait_until

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TEXT = "test [MASK]"
WHILE_DOWN = 20
AUDITED = {"INFERENCE_AUDIT": "chain"}


def check_audit(server: Web, rows: int) -> None:
    """What was written through the outage is one chain without a gap."""
    command = [sys.executable, "manage.py", "verify_audit"]
    verified = subprocess.run(command, cwd=ROOT, env=server.env, capture_output=True, text=True, timeout=START_S)
    assert (verified.returncode, verified.stderr) == (0, ""), verified.stdout
    assert verified.stdout.startswith(f"{rows} rows in 1 chains verified")
    assert "0 requests were dropped" in verified.stdout


def check_outage(server: Web, begin: Callable[[], object], end: Callable[[], object], count: Callable[[], int]) -> None:
    """Requests before, in and after an outage are answered, and afterwards all of them are in the database."""
    with client(server) as http:

        def ask() -> None:
            assert http.post("/", content=TEXT).status_code == 200

        ask()
        wait_until(lambda: count() == 1, "the first request is in the log")
        begin()
        try:
            for _ in range(WHILE_DOWN):
                ask()
            wait_until(lambda: "The request log cannot be written" in server.log(), "the outage is reported")
            ask()
            assert http.get("/health/ready").status_code == 200
            assert f"inference_request_log_pending_rows {WHILE_DOWN + 1}.0" in http.get("/metrics").text
        finally:
            end()
        wait_until(lambda: count() == WHILE_DOWN + 2, "what was asked meanwhile is in the log")
        ask()
        metrics = http.get("/metrics").text
    assert server.terminate() == 0
    assert count() == WHILE_DOWN + 3
    assert "inference_request_log_dropped_requests_total 0.0" in metrics
    log = server.log()
    assert log.count("The request log cannot be written") == 1
    assert log.count("The request log is written again") == 1
    assert "0 requests were dropped meanwhile" in log
    assert "Traceback" not in log
    check_audit(server, WHILE_DOWN + 3)


@pytest.fixture
def sqlite_server(redis: Redis, shared_worker: Worker) -> Iterator[Web]:
    with processes.web(redis, AUDITED | {"DJANGO_SETTINGS_MODULE": "tests.impatient"}) as server:
        yield server


def test_sqlite_on_a_full_disk(sqlite_server: Web) -> None:
    """No file of the process may grow beyond what the database's log of writes has reached."""

    def limit(most: int) -> None:
        _, hard = resource.prlimit(sqlite_server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(sqlite_server.pid, resource.RLIMIT_FSIZE, (most, hard))

    with closing(sqlite3.connect(sqlite_server.database)) as other:  # while it is open, that file does not begin anew

        def begin() -> None:
            other.execute("SELECT count(*) FROM sqlite_master").fetchall()
            reached = Path(f"{sqlite_server.database}-wal").stat().st_size
            assert len(sqlite_server.log()) + 4000 < reached, "the server's own output has room"
            limit(reached)

        check_outage(sqlite_server, begin, lambda: limit(resource.RLIM_INFINITY), lambda: len(sqlite_server.rows()))


def test_sqlite_locked_by_another_process(sqlite_server: Web) -> None:
    with closing(sqlite3.connect(sqlite_server.database, isolation_level=None)) as other:
        check_outage(
            sqlite_server,
            lambda: other.execute("BEGIN IMMEDIATE"),
            lambda: other.execute("ROLLBACK"),
            lambda: len(sqlite_server.rows()),
        )


@pytest.fixture
def database() -> Iterator[Postgres]:
    with postgres.running() as server:
        yield server


@postgres.needed
def test_postgres_that_crashes_and_comes_back(database: Postgres, redis: Redis, shared_worker: Worker) -> None:
    env = {"DATABASE_URL": database.url, **AUDITED}
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    path = processes.new_database()
    subprocess.run(migrate, cwd=ROOT, env=processes.environment(None, path, env), check=True, timeout=START_S)

    def rows() -> int:
        with psycopg.connect(database.url) as connection:
            [(number,)] = connection.execute("SELECT sum(count) FROM inference_inferencerequest")
        return int(number or 0)

    def crash() -> None:
        database.signal(signal.SIGQUIT)
        database.wait()

    def come_back() -> None:
        database.start()
        database.wait_until_accepting()

    with processes.web(redis, env) as server:
        check_outage(server, crash, come_back, rows)
