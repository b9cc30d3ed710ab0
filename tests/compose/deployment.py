"""The services of docker-compose.yml on this machine's engine."""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests import processes
from tests.processes import ROOT

UP_S = 300.0


class Deployment:
    """A project of Compose of its own; nothing of it is left after ``remove``."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._command = command
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "COMPOSE_PROJECT_NAME": f"inference-check-{secrets.token_hex(3)}",
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
            "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
            "PUBLISH": f"127.0.0.1:{self.port}",
        }

    def compose(self, *arguments: str) -> str:
        """Output of a command of Compose."""
        ran = subprocess.run(
            [*self._command, *arguments], cwd=ROOT, env=self._env, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise AssertionError(f"compose {' '.join(arguments)}: {ran.stdout}{ran.stderr}")
        return ran.stdout

    def up(self, **scale: int) -> None:
        """Start what does not run; wait until requests are served."""
        scaled = [part for name, number in scale.items() for part in ("--scale", f"{name}={number}")]
        self.compose("up", "--detach", *scaled)
        self.wait_for(lambda: processes.answers(f"{self.url}/health/ready"), "it is ready")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        processes.wait_until(condition, what, UP_S)

    def containers(self, service: str = "") -> list[str]:
        return self.compose("ps", "--quiet", *([service] if service else [])).split()

    def kill(self, service: str) -> None:
        """SIGKILL to its first process; the engine starts it again."""
        container = self.containers(service)[0]
        pid = int(docker("inspect", "--format", "{{.State.Pid}}", container))
        subprocess.run(["kill", "-KILL", str(pid)], check=True)
        self.wait_for(
            lambda: int(docker("inspect", "--format", "{{.State.Pid}}", container)) not in (0, pid), "it is back"
        )

    def outcomes(self) -> dict[str, str]:
        """Status by request id, as the request log has it."""
        query = "SELECT json_object_agg(request_id, status) FROM inference_inferencerequest WHERE count = 1"
        user = ["--username", "inference", "--dbname", "inference"]
        reply = self.compose("exec", "-T", "postgres", "psql", "--tuples-only", *user, "--command", query)
        found: dict[str, str] = json.loads(reply) or {}
        return found

    def memory(self) -> str:
        """Of each service."""
        return docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *self.containers())

    def remove(self) -> None:
        self.compose("down", "--volumes", "--timeout", "5")


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def compose_commands() -> dict[str, list[str]]:
    """Those that are installed, by version: the plugin and the older program."""
    candidates = [["docker", "compose"], ["docker-compose"]]
    found = {}
    for command in candidates:
        if shutil.which(command[0]):
            ran = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            if ran.returncode == 0:
                found[ran.stdout.strip()] = command
    return found


def ensure_engine() -> subprocess.Popen[bytes] | None:
    """Start the engine if none runs; returns it then.

    Raises:
        SystemExit: there is none.
    """
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        return None
    if not shutil.which("dockerd"):
        raise SystemExit("There is no Docker engine: install docker.io and docker-compose, or start yours.")
    engine = subprocess.Popen(["dockerd"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(60):
        if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
            return engine
        time.sleep(1)
    raise SystemExit("dockerd does not start; run it by hand to see why (it needs root).")
