"""The units of deploy/systemd fit the project: commands, settings, grace periods, and the same sandbox for each."""

import re
from dataclasses import fields

import pytest
from django.core.management import get_commands

from inference import conf
from tests.processes import ROOT

FOLDER = ROOT / "deploy/systemd"
UNITS = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.*"))}
SERVICES = {name: text for name, text in UNITS.items() if name.endswith(".service")}


def values(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("name", SERVICES)
def test_commands_exist(name: str) -> None:
    program, *arguments = values(SERVICES[name], "ExecStart")[0].removeprefix("/opt/inference/.venv/bin/").split()
    if program == "python":
        assert arguments[0] == "manage.py"
        assert arguments[1] in get_commands()
    else:
        assert (program, arguments[-1]) == ("daphne", "inferencesite.asgi:application")
        assert arguments[:2] == ["-b", "127.0.0.1"], "since it trusts the headers of a proxy"


@pytest.mark.parametrize("name", [name for name in SERVICES if "prune" not in name])
def test_processes_may_drain(name: str) -> None:
    (stop_s,) = values(SERVICES[name], "TimeoutStopSec")
    assert int(stop_s) >= conf.Conf().drain_s + 10


def test_each_is_as_confined_as_the_others() -> None:
    sandboxes = {text[text.index("NoNewPrivileges") :].partition("\n[Install]")[0] for text in SERVICES.values()}
    common = {
        re.sub(r"(?m)^#.*\n", "", text).replace("~@privileged @resources", "~@privileged").strip() for text in sandboxes
    }
    assert len(common) == 1


def test_settings_exist() -> None:
    known = {conf.variable(option) for option in fields(conf.Conf)} | {"HF_HOME"}
    known |= set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    named = re.findall(r"^([A-Z_]+)=", UNITS["environment.example"], re.MULTILINE)
    named += [value.partition("=")[0] for text in SERVICES.values() for value in values(text, "Environment")]
    assert set(named) <= known


def test_units_that_are_named_exist() -> None:
    named = {unit for text in UNITS.values() for unit in re.findall(r"\binference-[a-z]+[@.][a-z]*(?:\.\w+)?", text)}
    files = {re.sub(r"@\d*", "@", unit) for unit in named if unit.endswith((".service", ".target", ".timer"))}
    assert files <= UNITS.keys()
