"""The wheel that other projects install, and the requirements that it declares."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import inference
from tests.processes import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
README = (ROOT / "README.md").read_text()

KINDS = ["**/*.py", "templates/**/*.html", "static/**/*.*", "bundled_model/*", "py.typed"]
"""The files of ``inference`` that are in the wheel."""
MOST_BYTES = 60_000_000
START = """
import inference, mysite.asgi
from django.core.management import call_command
call_command("check")
call_command("makemigrations", check=True)
call_command("migrate", verbosity=0)
print(inference.__file__)
"""


def run(*command: str | Path, cwd: Path, python_path: str = "") -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "INFERENCE_"))}
    environment["PYTHONPATH"] = python_path
    ran = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


# Contents


def test_the_wheel_has_the_app_and_nothing_else(wheel: Path) -> None:
    app = ROOT / "inference"
    expected = {path.relative_to(ROOT).as_posix() for kind in KINDS for path in app.glob(kind) if path.is_file()}

    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())

    folder = f"django_inference_server-{inference.__version__}.dist-info/"
    metadata = {name for name in names if name.startswith(folder)}
    assert names - metadata == expected
    assert {name.removeprefix(folder) for name in metadata} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        *(f"licenses/{name}" for name in PROJECT["license-files"]),
    }


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "migrations/0001_initial.py",
        "management/commands/runworker.py",
        "static/inference/pages.css",
        "templates/inference/pages/front.html",
        "bundled_model/model.safetensors",
        "bundled_model/LICENSE",
        "bundled_model/NOTICE",
        "bundled_model/README.md",
    ],
)
def test_the_wheel_has(wheel: Path, name: str) -> None:
    assert zipfile.Path(wheel, f"inference/{name}").is_file()


def test_the_wheel_is_small_enough_to_be_hosted(wheel: Path) -> None:
    assert wheel.stat().st_size < MOST_BYTES


def test_the_project_of_the_readme_starts_with_the_wheel(wheel: Path, tmp_path: Path) -> None:
    section = README.partition("### In a project of your own\n")[2].partition("\n## ")[0]
    settings, asgi = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert wheel.name in section
    site_packages, project = tmp_path / "site-packages", tmp_path / "project"
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(site_packages)
    project.mkdir()
    run("-m", "django", "startproject", "mysite", ".", cwd=project)
    with (project / "mysite/settings.py").open("a") as default_settings:
        default_settings.write(settings)
    (project / "mysite/asgi.py").write_text(asgi)

    out = run("-W", "error", "-c", START, cwd=project, python_path=str(site_packages))

    assert out.splitlines()[-1] == str(site_packages / "inference/__init__.py")


# Versions


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["version"] == inference.__version__
    newest = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert newest in {"Unreleased", inference.__version__}


# Requirements


def pins(file: str) -> dict[str, Requirement]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-r")]
    return {canonicalize_name(pin.name): pin for pin in found}


SERVER_PINS = pins("requirements.txt")
ALL_PINS = SERVER_PINS | pins("requirements-dev.txt")
EXTRAS: dict[str, list[Requirement]] = {
    name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()
}
OTHER_EXTRAS = next(requirement for requirement in EXTRAS["dev"] if requirement.name == PROJECT["name"])
DECLARED = {
    "every process": [Requirement(line) for line in PROJECT["dependencies"]],
    **EXTRAS,
    "dev": [requirement for requirement in EXTRAS["dev"] if requirement is not OTHER_EXTRAS],
}
BUILD = [Requirement(line) for line in PYPROJECT["build-system"]["requires"]]


@pytest.mark.parametrize("kind", DECLARED)
def test_what_is_tested_is_what_is_declared(kind: str) -> None:
    known = ALL_PINS if kind == "dev" else SERVER_PINS
    for requirement in DECLARED[kind]:
        check_pin(requirement, known[canonicalize_name(requirement.name)])


def test_the_build_backend_is_the_one_that_is_tested() -> None:
    for requirement in BUILD:
        check_pin(requirement, ALL_PINS[canonicalize_name(requirement.name)])


def check_pin(requirement: Requirement, pin: Requirement) -> None:
    ((operator, version),) = ((each.operator, each.version) for each in pin.specifier)
    assert operator == "==", pin
    assert requirement.extras == pin.extras
    assert requirement.specifier.contains(version), f"{requirement} is tested with {version}"
    assert {each.operator for each in requirement.specifier} == {">=", "<"}, requirement


def test_nothing_is_installed_that_is_not_declared() -> None:
    declared = [canonicalize_name(requirement.name) for of_kind in DECLARED.values() for requirement in of_kind]
    assert sorted(declared) == sorted(ALL_PINS)


def test_the_dev_extra_installs_all_others() -> None:
    assert OTHER_EXTRAS.extras == EXTRAS.keys() - {"dev"}
