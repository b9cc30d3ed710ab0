"""The services of docker-compose.yml on this machine's engine."""

import json
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

from tests import processes
from tests.processes import ROOT

UP_S = 300.0


class Deployment:
    """A project of Compose of its own; nothing of it is left after ``remove`` but the image."""

    def __init__(self, version: str, command: list[str], folder: Path) -> None:
        self._command = command
        self._wait = () if version.startswith("1.") else ("--wait",)
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.image = f"inference-server:check-{version}"
        self.project = f"inference-check-{secrets.token_hex(3)}"
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "COMPOSE": " ".join(command),
            "COMPOSE_PROJECT_NAME": self.project,
            "TAG": self.image.partition(":")[2],
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
            "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
            "PUBLISH": f"127.0.0.1:{self.port}",
        }

    def configure(self, **env: str) -> None:
        """As lines of ``.env``, for the next command."""
        self._env |= env

    def compose(self, *arguments: str) -> str:
        """Output of a command of Compose."""
        return self._run(*self._command, *arguments)

    def upgrade(self) -> None:
        self._run("deploy/compose/upgrade.sh")

    def _run(self, *command: str) -> str:
        ran = subprocess.run(command, cwd=ROOT, env=self._env, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise AssertionError(f"{' '.join(command)}: {ran.stdout}{ran.stderr}")
        return ran.stdout

    def up(self, *options: str, **scale: int) -> None:
        """Start what does not run; wait until requests are served."""
        scaled = [part for name, number in scale.items() for part in ("--scale", f"{name}={number}")]
        self.compose("up", "--detach", *self._wait, *options, *scaled)
        processes.wait_until(lambda: processes.answers(f"{self.url}/health/ready"), "it is ready", UP_S)
        processes.wait_until(self._all_healthy, "all containers are healthy", UP_S)

    def _all_healthy(self) -> bool:
        states = docker("inspect", "--format", "{{with .State.Health}}{{.Status}}{{end}}", *self.containers())
        return set(states.split()) <= {"healthy"}

    def containers(self, service: str = "") -> list[str]:
        return self.compose("ps", "--quiet", *([service] if service else [])).split()

    def kill(self, service: str) -> None:
        """SIGKILL to its first process; the engine starts it again."""
        container = self.containers(service)[0]
        pid = int(docker("inspect", "--format", "{{.State.Pid}}", container))
        subprocess.run(["kill", "-KILL", str(pid)], check=True)

        def is_back() -> bool:
            return int(docker("inspect", "--format", "{{.State.Pid}}", container)) not in (0, pid)

        processes.wait_until(is_back, f"{service} is back", UP_S)

    def images_of(self, service: str) -> set[str]:
        return set(docker("inspect", "--format", "{{.Config.Image}}", *self.containers(service)).split())

    def logged(self) -> dict[str, str]:
        """Code by request id, as the request log has it; empty of those that were answered."""
        query = "SELECT json_object_agg(request_id, code) FROM inference_inferencerequest WHERE count = 1"
        user = ["--username", "inference", "--dbname", "inference"]
        reply = self.compose("exec", "-T", "postgres", "psql", "--tuples-only", *user, "--command", query)
        found: dict[str, str] = json.loads(reply) or {}
        return found

    def memory(self) -> str:
        """Of each container."""
        form = "{{.Name}} {{.MemUsage}}"
        lines = docker("stats", "--no-stream", "--format", form, *self.containers()).splitlines()
        used = (line.removeprefix(self.project)[1:].partition(" / ")[0].split() for line in lines if " 0B" not in line)
        return ", ".join(f"{name} {size}" for name, size in sorted(used))

    def remove(self) -> None:
        self.compose("down", "--volumes", "--timeout", "5")


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def dangling() -> set[str]:
    """Images that have lost their tag."""
    return set(docker("images", "--quiet", "--filter", "dangling=true").split())


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
