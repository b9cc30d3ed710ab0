import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeOnce
from tests.host.site import Site, fresh_python
from tests.processes import Redis


@pytest.fixture(scope="session")
def python(wheel: Path, make_once: MakeOnce) -> Path:
    """An interpreter with the wheel, installed by pip, which finds everything that it requires."""

    def make(folder: Path) -> None:
        install = ["-m", "pip", "install", "--quiet", "--no-index", f"{wheel}[daphne,redis]"]
        subprocess.run([fresh_python(folder), *install], check=True)

    return make_once("venv", make) / "bin/python"


@pytest.fixture(scope="session")
def site(python: Path, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The project with the edits and its tables."""
    site = Site(tmp_path_factory.mktemp("hosts") / "site", python, redis)
    site.edit()
    site.manage("migrate")
    shutil.copy(site.database, site.database.with_name("empty.sqlite3"))
    return site


@pytest.fixture
def make_site(site: Site, tmp_path: Path) -> Callable[..., Site]:
    """Makes copies of the project without the edits, but with all tables."""

    def make(name: str, number: int = 0) -> Site:
        made = Site(tmp_path / name, site.python, site.redis, number)
        shutil.copy(site.database.with_name("empty.sqlite3"), made.database)
        return made

    return make
