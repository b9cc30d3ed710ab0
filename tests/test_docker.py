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
from tests.compose.load import CUT, NO_CONNECTION, Ledger
from tests.processes import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "inference-server:${TAG:-latest}"}
PROXY = (ROOT / "deploy/compose/nginx.conf").read_text()
UPGRADE = ROOT / "deploy/compose/upgrade.sh"
CODE, DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).rsplit("\n\nFROM ", 1)
"""The stages: code without the model, and the image."""
OF_OTHERS = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "HF_TOKEN"}
NOT_PASSED_ON = {
    "INFERENCE_BACKEND",  # another image
    "INFERENCE_CHANNEL_LAYER",  # of settings.py, which has one
    "DATABASE_URL",
    "REDIS_URL",
}


def steps(instruction: str) -> list[str]:
    """The arguments of every such line of the Dockerfile, in order."""
    return re.findall(rf"^{instruction} (.+)$", DOCKERFILE, re.MULTILINE)


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def check_command(command: list[str]) -> None:
    if command[0] == "daphne":
        assert command[1:5] == ["-b", "0.0.0.0", "-p", "8000"]  # noqa: S104 - inside of the container
        assert command[5:-1] in ([], ["--proxy-headers"])
        module, _, name = command[-1].partition(":")
        source = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
        assert name in {
            ast.unparse(target) for step in source.body if isinstance(step, ast.Assign) for target in step.targets
        }
    else:
        if command[0] == "sh":
            command = re.findall(r"python manage.py \w+", command[2])[0].split()
        python, manage, name = command[:3]
        assert (python, manage) == ("python", "manage.py")
        assert name in get_commands()


def test_the_image_runs_as_an_unprivileged_user() -> None:
    assert DOCKERFILE.index("\nUSER 1000:1000\n") > max(DOCKERFILE.rindex(f"\n{step} ") for step in ("COPY", "RUN"))
    assert "useradd --create-home --uid 1000 app" in steps("RUN")[0]


def test_requirements_are_installed_before_the_code_is_copied() -> None:
    copies = steps("COPY")
    assert copies[0] == "requirements.txt ."
    steps_in_order = ("pip install -r requirements.txt", "COPY inference/bundled_model", "COPY manage.py")
    places = [DOCKERFILE.index(step) for step in steps_in_order]
    assert places == sorted(places)


def test_the_build_gets_what_it_copies_and_nothing_else() -> None:
    steps_of_both = [*steps("COPY"), *re.findall(r"^COPY (.+)$", CODE, re.MULTILINE)]
    copied = {step.split()[0] for step in steps_of_both} - {"inference/bundled_model", "--from=code"}
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert kept[kept.index("*") + 1 :][: len(copied)] == [line for line in kept if line.startswith("!")]
    assert "COPY --from=code /inference inference\n" in DOCKERFILE
    assert {line[1:] for line in kept if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)
    assert {"manage.py", "inference", "inferencesite"} <= copied


def test_the_images_own_command_exists() -> None:
    (command,) = steps("CMD")
    check_command(json.loads(command))


def test_the_models_folder_is_the_same_everywhere() -> None:
    folder = re.findall(r"HF_HOME=(\S+)", DOCKERFILE)[0]
    assert SERVICES["worker"]["volumes"][0] == f"huggingface:{folder}"
    assert folder in steps("RUN")[0], "made and owned before the user changes"


@pytest.mark.parametrize("name", OURS)
def test_commands_exist(name: str) -> None:
    check_command(OURS[name]["command"])


def test_the_services() -> None:
    assert SERVICES.keys() == {"proxy", "redis", "postgres", "migrate", "prune", "worker", "web"}
    assert OURS.keys() == {"migrate", "prune", "worker", "web"}
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["migrate"], (
        "others would be made anew each time"
    )


@pytest.mark.parametrize("name", SERVICES)
def test_variables_exist(name: str) -> None:
    settings = (ROOT / "inferencesite/settings.py").read_text()
    of_the_site = re.findall(r'\b(?:env\.\w+|hosts|switch|chosen)\("(\w+)"', settings)
    known = {conf.variable(option) for option in fields(conf.Conf)} | set(of_the_site)
    given = SERVICES[name].get("environment", {})
    assert set(given) <= known | OF_OTHERS
    for variable, value in given.items():
        for referred in re.findall(r"\$\{(\w+)", value):
            assert referred == variable or referred in OF_OTHERS, "a name means the same outside and inside"


def test_every_setting_is_passed_on() -> None:
    """Otherwise it has no effect, and nothing says so."""
    table = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    passed = {name for service in OURS.values() for name in service["environment"]}
    assert set(table) - passed == NOT_PASSED_ON - passed


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_has_a_value(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("SECRET|PASSWORD", variable):
            assert re.fullmatch(r"\$\{" + variable + r"(:\?[^}]+|:-)\}", value), variable
        if variable == "HF_TOKEN":
            assert value == "${HF_TOKEN:-}"
        for password in re.findall(r"://\w+:(.+)@", value):
            assert password.startswith("${POSTGRES_PASSWORD:?"), variable
    assert not re.search("SECRET|PASSWORD|TOKEN", DOCKERFILE)


@pytest.mark.parametrize("name", OURS)
def test_processes_may_drain(name: str) -> None:
    drain_s = conf.Conf().drain_s
    assert OURS[name]["environment"]["INFERENCE_DRAIN_S"] == f"${{INFERENCE_DRAIN_S:-{drain_s:g}}}"
    serves = name != "prune"
    assert seconds(OURS[name]["stop_grace_period"]) >= (drain_s + 10 if serves else 1)
    assert seconds(SERVICES["postgres"]["stop_grace_period"]) > seconds(OURS["web"]["stop_grace_period"])


def test_the_proxy_waits_for_its_last_answers() -> None:
    """Its own default is ten seconds. Sockets that clients leave open do not hold it up to the end."""
    proxy = SERVICES["proxy"]
    (waits,) = re.findall(r"worker_shutdown_timeout (\d+s);", proxy["command"][2])
    assert conf.Conf().drain_s < seconds(waits) < seconds(proxy["stop_grace_period"])


def test_a_web_server_that_stops_is_sent_nothing_more() -> None:
    assert SERVICES["web"]["environment"]["INFERENCE_DRAIN_PORT"] == "${INFERENCE_DRAIN_PORT:-closed}"
    assert "proxy_next_upstream error timeout;" in PROXY, "not non_idempotent: nothing is sent twice"


def test_only_the_proxy_is_reachable_and_only_from_this_host() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "proxy": ["${PUBLISH:-127.0.0.1:8000}:8000"]
    }
    assert "--proxy-headers" in SERVICES["web"]["command"]


def test_the_proxy_leaves_limits_to_the_server() -> None:
    settings: dict[str, str] = dict(re.findall(r"^ +([a-z_]+) (\S+);", PROXY, re.MULTILINE))
    assert settings["client_max_body_size"] == "0"
    assert settings["proxy_buffering"] == settings["proxy_request_buffering"] == "off"
    (longest,) = (option.metadata["allowed"].high for option in fields(conf.Conf) if option.name == "max_deadline_s")
    assert seconds(settings["proxy_read_timeout"]) > longest
    assert f"set $web http://web:{SERVICES['web']['command'][4]};" in PROXY
    headers: dict[str, str] = dict(re.findall(r"proxy_set_header (\S+) +(\S+);", PROXY))
    assert headers.keys() == {"Host", "X-Forwarded-For", "X-Forwarded-Proto", "Upgrade", "Connection"}
    assert headers["X-Forwarded-For"] == "$remote_addr", "not what the client says"


@pytest.mark.parametrize("name", OURS)
def test_containers_of_ours_change_nothing_but_their_volumes(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - torch and Python need it
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", SERVICES)
def test_logs_are_bounded(name: str) -> None:
    assert SERVICES[name]["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


def test_services_wait_for_what_they_need() -> None:
    needs = {name: {n: w["condition"] for n, w in s.get("depends_on", {}).items()} for name, s in SERVICES.items()}
    healthy = "service_healthy"
    assert needs["migrate"] == {"postgres": healthy}
    assert needs["worker"] == {"redis": healthy}
    assert needs["web"]["redis"] == healthy
    assert needs["web"]["migrate"] == "service_completed_successfully"
    assert {"worker", "postgres"} <= set(needs["web"]), "so that the web server stops first"
    assert all("healthcheck" in SERVICES[needed] for of in needs.values() for needed in of if of[needed] == healthy)


def test_the_web_servers_health_check_asks_whether_it_is_ready() -> None:
    test = SERVICES["web"]["healthcheck"]["test"]
    assert test[:3] == ["CMD", "python", "-c"]
    compile(test[3], "healthcheck", "exec")
    (host, path) = re.findall(r"http://(\w+):8000(/[\w/]+)'", test[3])[0]
    assert path == "/health/ready"
    assert host in SERVICES["web"]["environment"]["DJANGO_ALLOWED_HOSTS"].split(",")


def test_a_worker_is_healthy_once_it_has_loaded_a_pipeline() -> None:
    command = SERVICES["worker"]["command"]
    path = command[command.index("--ready-file") + 1]
    assert SERVICES["worker"]["healthcheck"]["test"] == ["CMD", "cat", path]
    assert Path(path).parent in map(Path, SERVICES["worker"]["tmpfs"])


def test_an_upgrade_migrates_then_replaces_workers_then_web_servers() -> None:
    script = UPGRADE.read_text()
    assert UPGRADE.stat().st_mode & 0o111
    services = re.findall(r"set -- (.+)", script)[0].split()
    assert services == ["worker", "web"], "new web servers may ask what old workers do not know"
    assert script.index("up --detach migrate") < script.index("for service")
    assert all("healthcheck" in SERVICES[name] for name in services), "it waits until they are healthy"
    written = {*services, "migrate", *re.findall(r"up --detach (\w+)", script)}
    assert not re.search(r"^[^#]*--no-deps", script, re.MULTILINE), "the next up would make all anew"
    assert written | {"proxy", "redis", "postgres"} == SERVICES.keys(), "it leaves none of our services as it was"


def test_services_come_back_after_the_engine() -> None:
    """Also when it was killed: the next one stops what still runs, for ever if the policy is ``unless-stopped``."""
    assert {name: service["restart"] for name, service in SERVICES.items()} == {
        name: "no" if name == "migrate" else "always" for name in SERVICES
    }


def test_a_reboot_stops_the_services_in_order() -> None:
    unit = (ROOT / "deploy/compose/inference.service").read_text()
    assert "After=docker.service" in unit, "it ends before the engine ends"
    assert "ExecStop=/usr/bin/docker compose stop\n" in unit
    graces = (seconds(SERVICES[name]["stop_grace_period"]) for name in ("proxy", "web", "worker", "postgres"))
    assert int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) > sum(graces)


def test_volumes_are_declared() -> None:
    mounts = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", m) for s in SERVICES.values() for m in s.get("volumes", [])]
    assert {mount.partition(":")[0] for mount in mounts} == {*COMPOSE["volumes"], "./deploy/compose/nginx.conf"}


def test_only_databases_outlive_a_restart() -> None:
    assert "volumes" not in SERVICES["redis"]
    assert Path(SERVICES["postgres"]["volumes"][0].partition(":")[2]) == Path("/var/lib/postgresql/data")


def test_the_ledger_of_the_compose_check_finds_every_disagreement() -> None:
    told_and_logged = [
        ("200", ""),
        ("504 timeout", "timeout"),
        ("503 loading", None),
        (NO_CONNECTION, None),
        (CUT, None),
    ]
    wrong = [
        ("200", None),
        ("200", "timeout"),
        ("504 timeout", ""),
        ("502 proxy", ""),
        (CUT, ""),
        (CUT, "disconnected"),
    ]
    for cases, number in ((told_and_logged, 0), (wrong, len(wrong))):
        ledger = Ledger("")
        ledger.told = {str(n): told for n, (told, _) in enumerate(cases)}
        logged = {str(n): code for n, (_, code) in enumerate(cases) if code is not None}
        assert len(ledger.disagreements(logged)) == number
