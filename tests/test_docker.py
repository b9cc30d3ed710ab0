"""What can be known about the container files without Docker: they fit the project and hold no secrets."""

import ast
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from inference import conf
from tests.processes import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
OF_OTHERS = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "HF_TOKEN"}


def steps(instruction: str) -> list[str]:
    """The arguments of every such line of the Dockerfile, in order."""
    return re.findall(rf"^{instruction} (.+)$", DOCKERFILE, re.MULTILINE)


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def check_command(command: list[str]) -> None:
    if command[0] == "daphne":
        assert command[1:5] == ["-b", "0.0.0.0", "-p", "8000"]  # noqa: S104 - inside of the container
        module, _, name = command[5].partition(":")
        source = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
        assert name in {
            ast.unparse(target) for step in source.body if isinstance(step, ast.Assign) for target in step.targets
        }
    else:
        assert command[:2] == ["python", "manage.py"]
        assert command[2] in get_commands()


def test_the_image_runs_as_an_unprivileged_user() -> None:
    assert DOCKERFILE.index("\nUSER app\n") > max(DOCKERFILE.rindex(f"\n{step} ") for step in ("COPY", "RUN"))
    assert "useradd" in steps("RUN")[0]


def test_requirements_are_installed_before_the_code_is_copied() -> None:
    copies = steps("COPY")
    assert copies[0] == "requirements.txt ."
    first, second = (DOCKERFILE.index(step) for step in ("RUN pip install -r requirements.txt", "COPY manage.py"))
    assert first < second


def test_the_build_gets_what_it_copies_and_nothing_else() -> None:
    copied = {part for step in steps("COPY") for part in step.split()[:-1]}
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert kept[kept.index("*") + 1 :][: len(copied)] == [line for line in kept if line.startswith("!")]
    assert {line[1:] for line in kept if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)
    assert {"manage.py", "inference", "inferencesite"} <= copied


def test_the_images_own_command_exists() -> None:
    (command,) = steps("CMD")
    check_command(json.loads(command))


def test_the_models_folder_is_the_same_everywhere() -> None:
    (folder,) = steps("VOLUME")
    assert f"HF_HOME={folder}" in DOCKERFILE
    assert SERVICES["worker"]["volumes"] == [f"huggingface:{folder}"]
    assert folder in steps("RUN")[0], "made and owned before the user changes"


@pytest.mark.parametrize("name", OURS)
def test_commands_exist(name: str) -> None:
    check_command(OURS[name]["command"])


def test_the_services() -> None:
    assert SERVICES.keys() == {"redis", "postgres", "migrate", "worker", "web"}
    assert OURS.keys() == {"migrate", "worker", "web"}


@pytest.mark.parametrize("name", SERVICES)
def test_variables_exist(name: str) -> None:
    settings = (ROOT / "inferencesite/settings.py").read_text()
    of_the_site = re.findall(r'\b(?:env\.\w+|hosts)\("(\w+)"', settings)
    known = {conf.variable(option) for option in fields(conf.Conf)} | set(of_the_site)
    given = SERVICES[name].get("environment", {})
    assert set(given) <= known | OF_OTHERS
    for variable, value in given.items():
        for referred in re.findall(r"\$\{(\w+)", value):
            assert referred == variable or referred in OF_OTHERS, "a name means the same outside and inside"


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_has_a_value(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("SECRET|PASSWORD", variable):
            assert re.fullmatch(r"\$\{" + variable + r":\?[^}]+\}", value), variable
        if variable == "HF_TOKEN":
            assert value == "${HF_TOKEN:-}"
        for password in re.findall(r"://\w+:(.+)@", value):
            assert password.startswith("${POSTGRES_PASSWORD:?"), variable
    assert not re.search("SECRET|PASSWORD|TOKEN", DOCKERFILE)


@pytest.mark.parametrize("name", OURS)
def test_processes_may_drain(name: str) -> None:
    drain_s = float(OURS[name]["environment"]["INFERENCE_DRAIN_S"])
    assert drain_s == conf.Conf().drain_s
    assert seconds(OURS[name]["stop_grace_period"]) >= drain_s + 10


def test_only_the_web_server_is_reachable_and_only_from_this_host() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "web": ["127.0.0.1:8000:8000"]
    }


def test_services_wait_for_what_they_need() -> None:
    needs = {name: {n: w["condition"] for n, w in s.get("depends_on", {}).items()} for name, s in SERVICES.items()}
    healthy = "service_healthy"
    assert needs["migrate"] == {"postgres": healthy}
    assert needs["worker"] == {"redis": healthy}
    assert needs["web"]["redis"] == healthy
    assert needs["web"]["migrate"] == "service_completed_successfully"
    assert "worker" in needs["web"], "so that the web server stops first"
    assert all("healthcheck" in SERVICES[needed] for of in needs.values() for needed in of if of[needed] == healthy)


def test_the_web_servers_health_check_asks_whether_it_is_ready() -> None:
    test = SERVICES["web"]["healthcheck"]["test"]
    assert test[:3] == ["CMD", "python", "-c"]
    compile(test[3], "healthcheck", "exec")
    (host, path) = re.findall(r"http://(\w+):8000(/[\w/]+)'", test[3])[0]
    assert path == "/health/ready"
    assert host in SERVICES["web"]["environment"]["DJANGO_ALLOWED_HOSTS"].split(",")


def test_volumes_are_declared() -> None:
    used = {mount.partition(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_only_databases_outlive_a_restart() -> None:
    assert "volumes" not in SERVICES["redis"]
    assert Path(SERVICES["postgres"]["volumes"][0].partition(":")[2]) == Path("/var/lib/postgresql/data")
