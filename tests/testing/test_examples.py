"""docs/testing.md: its examples are a project's tests, and pass."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/testing.md").read_text()
AROUND = {
    "mysite/__init__.py": "",
    "mysite/settings.py": "from inferencesite.settings import *\nROOT_URLCONF = 'mysite.urls'\n",
    "mysite/urls.py": "from django.urls import path\nfrom mysite import views\n"
    "urlpatterns = [path('guess/', views.guess)]\n",
    "mysite/asgi.py": "from inferencesite.asgi import application\n",
    "pytest.ini": "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n",
}
"""The rest of the project."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shown = re.findall(r"^```python\n# (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(shown) == PAGE.count("```python\n") == 4
    for name, text in [*AROUND.items(), *shown]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def run(project: Path, *command: str) -> str:
    """What it printed, after it has ended well."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONPATH": f"{project}:{ROOT}"}
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_the_pytest_example_passes(project: Path):
    assert "3 passed" in run(project, "-m", "pytest", "-p", "no:randomly", "-q", "mysite/test_guess.py")


def test_the_test_case_example_passes(project: Path):
    assert re.search(r"Ran 5 tests in .*\n\nOK", run(project, "-m", "django", "test", "mysite"))
