"""The units of deploy/systemd fit the project: commands, settings, grace periods, and the same sandbox for each."""

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from django.core.management import get_commands

from inference import conf
from tests.processes import ROOT

FOLDER = ROOT / "deploy/systemd"
UNITS = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.*"))}
SERVICES = {name: text for name, text in UNITS.items() if name.endswith(".service")}
MANAGE = (FOLDER / "inference-manage").read_text()
WORST = 1.2
"""Exposure of a service, from 0 to 10."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")


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
        assert arguments[:2] == ["--fd", "3"]


def test_only_a_proxy_on_the_machine_reaches_web_servers() -> None:
    """They trust the headers that it sets."""
    assert values(UNITS["inference-web.socket"], "ListenStream") == ["127.0.0.1:8000"]
    assert "proxy_pass http://127.0.0.1:8000;" in UNITS["nginx.conf"]
    assert values(UNITS["inference-web@.service"], "Sockets") == ["inference-web.socket"]


def test_the_proxy_is_that_of_compose() -> None:
    ours, others = (
        dict(re.findall(r"^ +((?:proxy_set_header )?\w+) +(.+?);", proxy.partition("location / {")[2], re.MULTILINE))
        for proxy in (UNITS["nginx.conf"], (ROOT / "deploy/compose/nginx.conf").read_text())
    )
    differ = {"set", "proxy_pass", "proxy_connect_timeout", "proxy_next_upstream"}  # names of several containers
    assert {name: value for name, value in others.items() if name not in differ} == {
        name: value for name, value in ours.items() if name not in differ
    }


def test_commands_by_hand_have_the_settings_of_the_units() -> None:
    for name in ("EnvironmentFile", "StateDirectory", "UMask"):
        assert f" --property {name}={values(SERVICES['inference-prune.service'], name)[0]} " in MANAGE
    assert "/opt/inference/.venv/bin/python manage.py" in MANAGE


def test_the_guide_has_a_unit_for_each_pipeline() -> None:
    guide = (ROOT / "docs/deploy.md").read_text()
    (command,) = values(SERVICES["inference-worker@.service"], "ExecStart")
    assert f"ExecStart=\nExecStart={command} --pipeline %i\n" in guide


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_each_is_confined(name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={WORST * 10:.0f}", str(FOLDER / name)]
    rated = subprocess.run(command, capture_output=True, text=True, check=False)
    assert rated.returncode == 0, rated.stdout + rated.stderr


@needs_systemd
def test_units_are_valid(tmp_path: Path) -> None:
    paths = [str(tmp_path / name.replace("@", "@1")) for name in UNITS if name.startswith("inference-")]
    for name, text in UNITS.items():
        (tmp_path / name).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *paths]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
    assert [line for line in verified.stderr.splitlines() if "inference-" in line] == []


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


def test_what_a_stop_needs_is_stopped_later() -> None:
    """The order at a stop is the other one: web servers, then what their last answers and log entries need."""
    (after,) = values(SERVICES["inference-web@.service"], "After")
    assert {"nginx.service", "redis.service", "postgresql.service", "inference-worker.target"} <= set(after.split())
    assert "redis.service" in values(SERVICES["inference-worker@.service"], "After")[0].split()


def test_no_fault_needs_a_manual_restart() -> None:
    for name, text in SERVICES.items():
        if "prune" not in name:
            assert (values(text, "Restart"), values(text, "StartLimitIntervalSec")) == (["always"], ["0"])


def test_units_that_are_named_exist() -> None:
    named = {unit for text in UNITS.values() for unit in re.findall(r"\binference-[a-z]+[@.][a-z]*(?:\.\w+)?", text)}
    files = {
        re.sub(r"@\d*", "@", unit) for unit in named if unit.endswith((".service", ".socket", ".target", ".timer"))
    }
    assert files <= UNITS.keys()
