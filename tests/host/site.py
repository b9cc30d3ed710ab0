"""Copies of the host project, and the servers that run them."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from tests import processes
from tests.processes import ROOT, Process, Redis

PROJECT = ROOT / "tests/hostproject"
STALL_S = 0.5
SNIPPETS = re.findall(
    r"^ +```python\n(.*?)^ +```$",
    (ROOT / "docs/integration.md").read_text().partition("## Edits\n")[2].partition("\n## ")[0],
    re.DOTALL | re.MULTILINE,
)
SETTINGS_EDIT, ASGI_EDIT = map(textwrap.dedent, SNIPPETS)
"""What the documentation tells a team to add to two of its files."""
PAGE = "https://app.example.com"
"""A page's origin that inference allows, and the project does not."""
OF_THE_TEST = (
    '\nINFERENCE = {"CHANNEL_LAYER": "inference", "BACKEND": "shop.model", '
    f'"STALL_S": {STALL_S}, "CORS_ORIGINS": ["{PAGE}"]}}\n'
)
SERVERS = {
    "daphne": ["daphne", "-p", "{port}", "--websocket-max-message-size=4194304", "--websocket-max-frame-size=4194304"],
    "uvicorn": ["uvicorn", "--port", "{port}"],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:{port}", "--access-logfile", "-", "--graceful-timeout", "40"],
}


class Site:
    """A copy of the project in a folder of its own."""

    def __init__(self, folder: Path, python: Path, redis: Redis, number: int = 0) -> None:
        """``number``: of a database of Redis; those with others may run at the same time."""
        self.folder = folder
        self._redis_url = f"{redis.url.removesuffix('0')}{number}"
        self.redis = redis
        self.database = folder / "shop.sqlite3"
        self.ends = folder / "ends.txt"
        """What ran when its processes ended."""
        self.python = python
        shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def edit(self, settings: str = SETTINGS_EDIT + OF_THE_TEST, asgi: str = ASGI_EDIT) -> None:
        """Add to the settings and to ``asgi.py``."""
        for name, text in (("settings", settings), ("asgi", asgi)):
            with (self.folder / f"shop/{name}.py").open("a") as file:
                file.write(text)

    def manage(self, *arguments: str) -> str:
        """Output and errors of ``manage.py``."""
        ran = subprocess.run(
            [self.python, "manage.py", *arguments],
            cwd=self.folder,
            env={**self._env, "SHOP_ENDS": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return ran.stdout

    def worker(self) -> Process:
        """The project's own background worker."""
        return self._process("receipts", ["manage.py", "runworker", "receipts"])

    def server(self, name: str, *more: str) -> "Server":
        port = processes.free_port()
        module, *options = (part.format(port=port) for part in SERVERS[name])
        command = [str(self.python), "-m", module, *options, *more, "shop.asgi:application"]
        return Server(name, command, self._env, self.folder, port)

    def _process(self, name: str, arguments: list[str]) -> Process:
        return Process(name, [str(self.python), *arguments], self._env, self.folder)

    @property
    def _env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "",
            "REDIS_URL": self._redis_url,
            "SHOP_ENDS": str(self.ends),
        }


class Server(Process):
    def __init__(self, name: str, command: list[str], env: dict[str, str], folder: Path, port: int) -> None:
        super().__init__(name, command, env, folder)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def wait_until_ready(self, path: str) -> None:
        self.wait_for(lambda: processes.answers(self.url + path), f"GET {path} gives 200")


def fresh_python(folder: Path) -> Path:
    """An interpreter of a new virtual environment, which sees the packages of ``HOST_PYTHON`` (this one)."""
    base = os.environ.get("HOST_PYTHON", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
    path = subprocess.run(
        [base, "-c", "import site; print(*site.getsitepackages())"], stdout=subprocess.PIPE, check=True
    )
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_bytes(path.stdout)
    return folder / "bin/python"
