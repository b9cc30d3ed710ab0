"""A PostgreSQL of a test's own, where one is installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests import processes
from tests.processes import START_S, Process

needed = pytest.mark.skipif(not shutil.which("initdb"), reason="no PostgreSQL is installed")


class Postgres(Process):
    def __init__(self, command: list[str | Path], env: dict[str, str], port: int) -> None:
        super().__init__("postgres", command, env)
        self.url = f"postgres://inference@127.0.0.1:{port}/postgres"

    def wait_until_accepting(self) -> None:
        self.wait_for(self._accepts, "it takes connections")

    def _accepts(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.url):
            return True
        return False


@contextmanager
def running() -> Iterator[Postgres]:
    """As another user where tests run as root, which it refuses."""
    folder = Path(tempfile.mkdtemp(prefix="inference-postgres-"))
    as_user: list[str] = []
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    make: list[str | Path] = ["initdb", "-D", folder, "-U", "inference", "--auth=trust", "--no-sync", "-E", "UTF8"]
    subprocess.run([*as_user, *make], env=env, check=True, capture_output=True, cwd="/", timeout=START_S)
    port = processes.free_port()
    options: list[str | Path] = ["-D", folder, "-k", "", "-h", "127.0.0.1", "-p", str(port), "-c", "fsync=off"]
    server = Postgres([*as_user, "postgres", *options], env, port)
    try:
        with server.runs(server.wait_until_accepting):
            yield server
    finally:
        shutil.rmtree(folder)
