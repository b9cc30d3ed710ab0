"""What can be known about ``deploy/kubernetes`` without a cluster: it is valid, and fits the code and each other."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from inference import catalog, conf
from inference.api.routing import MONITORING
from tests.observability.test_metrics import COLLECTED
from tests.processes import ROOT
from tests.test_docker import check_command

FOLDER = ROOT / "deploy/kubernetes"
VERSION = "1.37"
OURS = "inference-server"
SECRETS = {"DJANGO_SECRET_KEY", "DATABASE_URL", "HF_TOKEN"}
OF_SETTINGS = {"REDIS_URL", "DJANGO_ALLOWED_HOSTS", "DJANGO_CSRF_TRUSTED_ORIGINS", "DJANGO_HTTPS", "DJANGO_LOG_FORMAT"}
MANIFESTS = [
    path
    for path in sorted(FOLDER.rglob("*.yaml"))
    if path.name not in ("kustomization.yaml", "keda.yaml", "adapter-values.yaml")
]


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


OBJECTS = [each for path in MANIFESTS for each in documents(path)]
KUSTOMIZATIONS = {path.parent: documents(path)[0] for path in sorted(FOLDER.rglob("kustomization.yaml"))}


def of(kind: str, name: str) -> dict[str, Any]:
    [found] = [each for each in OBJECTS if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def queries() -> Iterator[tuple[str, str]]:
    """For Prometheus, as each tool asks them."""
    [rule] = documents(FOLDER / "autoscaling/adapter-values.yaml")[0]["rules"]["external"]
    # An external metric is grouped by nothing of the adapter's own:
    # https://github.com/kubernetes-sigs/prometheus-adapter/blob/master/pkg/naming/metric_namer.go
    filled = {"Series": rule["seriesQuery"].partition("{")[0], "LabelMatchers": 'pipeline="default"', "GroupBy": ""}
    yield "adapter", re.sub(r"<<\.(\w+)>>", lambda name: filled[name[1]], rule["metricsQuery"])
    [trigger] = documents(FOLDER / "autoscaling/keda.yaml")[0]["spec"]["triggers"]
    yield "keda", trigger["metadata"]["query"]


QUERIES = dict(queries())


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Specifications of pods, by the name of what makes them."""
    for each in OBJECTS:
        template = each.get("spec", {}).get("jobTemplate", each).get("spec", {}).get("template")
        if template:
            yield each["metadata"]["name"], template["spec"]


PODS = dict(pods())


def container(name: str) -> dict[str, Any]:
    [only] = PODS[name]["containers"]
    return dict(only)


def literals() -> Iterator[tuple[str, str]]:
    for made in KUSTOMIZATIONS.values():
        for each in made.get("configMapGenerator", []):
            for literal in each.get("literals", []):
                name, _, value = literal.partition("=")
                yield name, value


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_manifests_are_valid(path: Path) -> None:
    for each in documents(path):
        kubernetes_validate.validate(each, VERSION, strict=True)


def built(folder: Path) -> list[dict[str, Any]]:
    made = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True).stdout
    return [each for each in yaml.safe_load_all(made) if each]


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "pipelines"], ids=["all", "pipelines"])
@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl")
def test_what_is_built_of_them_is_valid(folder: Path) -> None:
    made = built(folder)
    for each in made:
        kubernetes_validate.validate(each, VERSION, strict=True)
        assert each["metadata"].get("namespace") == "inference"
    names = {each["metadata"]["name"] for each in made if each["kind"] in ("ConfigMap", "PersistentVolumeClaim")}
    for each in made:
        if each["kind"] == "Deployment":
            spec = each["spec"]["template"]["spec"]
            assert (
                each["spec"]["selector"]["matchLabels"].items()
                <= each["spec"]["template"]["metadata"]["labels"].items()
            )
            for volume in spec["volumes"]:
                used = volume.get("configMap", {}).get("name") or volume.get("persistentVolumeClaim", {}).get(
                    "claimName"
                )
                assert used in {*names, None} or volume["configMap"]["optional"], volume


@pytest.mark.parametrize(("folder", "cache"), [(".", "cache"), ("pipelines", "../cache")])
@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl")
def test_workers_on_several_nodes_may_share_a_cache(folder: str, cache: str, tmp_path: Path) -> None:
    copy = tmp_path / "kubernetes"
    shutil.copytree(FOLDER, copy)
    with (copy / folder / "kustomization.yaml").open("a") as file:
        file.write(f"components: [{cache}]\n")
    made = built(copy / folder)
    [claim] = [each for each in made if each["kind"] == "PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    workers = [each for each in made if each["kind"] == "Deployment" and each["metadata"]["labels"]["app"] == "worker"]
    assert workers
    for each in workers:
        volumes = {volume.pop("name"): volume for volume in each["spec"]["template"]["spec"]["volumes"]}
        assert volumes["huggingface"] == {"persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}


def test_only_our_pods_reach_redis() -> None:
    [rule] = of("NetworkPolicy", "redis")["spec"]["ingress"]
    [peer] = rule["from"]
    [expression] = peer["podSelector"]["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("app", "In")
    assert expression["values"] == ["web", "worker"]
    for name in expression["values"]:
        assert of("Deployment", name)["spec"]["template"]["metadata"]["labels"]["app"] == name
    assert of("NetworkPolicy", "redis")["spec"]["podSelector"] == of("Deployment", "redis")["spec"]["selector"]


def test_every_file_is_used() -> None:
    used = {FOLDER / "autoscaling" / name for name in ("keda.yaml", "hpa.yaml", "adapter-values.yaml")}
    for folder, made in KUSTOMIZATIONS.items():
        resources = [folder / each for each in made["resources"]]
        assert all(each.exists() for each in resources)
        used |= {folder / "kustomization.yaml", *resources}
        for each in made.get("configMapGenerator", []):
            used |= {folder / file for file in each.get("files", [])}
    files = {path for path in FOLDER.rglob("*") if path.is_file()}
    assert files - {path.resolve() for path in used} == set()


def test_variables_are_those_of_the_code() -> None:
    known = {conf.variable(option) for option in fields(conf.Conf)} | OF_SETTINGS
    assert {name for name, _ in literals()} - known == set()
    for name in ("web", "worker", "migrate", "prune"):
        assert container(name)["envFrom"] == [
            {"configMapRef": {"name": "inference"}},
            {"secretRef": {"name": "inference"}},
        ]


def test_the_guide_makes_the_secret() -> None:
    guide = (ROOT / "docs/deploy.md").read_text()
    command = guide.partition("create secret generic inference")[2].partition("\n\n")[0]
    assert all(f"--from-literal={name}=" in command for name in SECRETS)


@pytest.mark.parametrize("name", ["web", "worker", "migrate", "prune"])
def test_commands_are_those_of_the_image(name: str) -> None:
    made = container(name)
    assert made["image"] == OURS
    command = list(made["command"])
    if "--ready-file" in command:
        at = command.index("--ready-file")
        assert PODS[name]["containers"][0]["readinessProbe"]["exec"]["command"] == ["cat", command[at + 1]]
        del command[at : at + 2]
    check_command(command)


@pytest.mark.parametrize("name", PODS)
def test_pods_are_restricted(name: str) -> None:
    """As https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted has it, and read-only."""
    pod, made = PODS[name], container(name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert made["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert made["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in made["resources"]["limits"]
    if made["image"] == OURS:
        assert {"name": "tmp", "mountPath": "/tmp"} in made["volumeMounts"]  # noqa: S108 - in the container


def test_probes_ask_what_there_is() -> None:
    web = container("web")
    [port] = web["ports"]
    assert web["command"][web["command"].index("-p") + 1] == str(port["containerPort"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = web[probe]["httpGet"]
        assert asked["path"] in MONITORING
        assert asked["port"] == port["name"]
    assert web["livenessProbe"]["httpGet"]["path"] != web["readinessProbe"]["httpGet"]["path"]
    annotations = of("Deployment", "web")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] in MONITORING
    assert annotations["prometheus.io/port"] == str(port["containerPort"])
    [service] = of("Service", "web")["spec"]["ports"]
    assert service["targetPort"] == port["name"]


def test_there_is_time_to_drain() -> None:
    drain_s = float(dict(literals())["INFERENCE_DRAIN_S"])
    assert drain_s > conf.Conf().deadline_s
    for name in ("web", "worker"):
        before = container(name).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert PODS[name]["terminationGracePeriodSeconds"] >= before + drain_s + 10
    assert PODS["redis"]["terminationGracePeriodSeconds"] >= 60


def test_the_ingress_leaves_limits_to_the_server() -> None:
    annotations = of("Ingress", "web")["metadata"]["annotations"]
    given = {name.rpartition("/")[2]: value for name, value in annotations.items()}
    longest = next(each for each in fields(conf.Conf) if each.name == "max_deadline_s").metadata["allowed"].high
    assert int(given["proxy-read-timeout"]) > longest
    assert (given["proxy-buffering"], given["proxy-request-buffering"], given["proxy-body-size"]) == ("off", "off", "0")


def test_workers_are_scaled_by_a_metric_that_there_is() -> None:
    metric = of("HorizontalPodAutoscaler", "worker")["spec"]["metrics"][0]["external"]["metric"]["name"]
    assert metric in COLLECTED
    for query in QUERIES.values():
        assert metric in query


def test_a_pause_does_not_end_workers() -> None:
    scaler = documents(FOLDER / "autoscaling/keda.yaml")[0]["spec"]
    behavior = of("HorizontalPodAutoscaler", "worker")["spec"]["behavior"]
    assert scaler["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == behavior


@pytest.mark.parametrize("tool", QUERIES)
@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")
def test_queries_can_be_read(tool: str, tmp_path: Path) -> None:
    rule = {"record": "wait", "expr": QUERIES[tool]}
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": tool, "rules": [rule]}]}))
    checked = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_example_catalog_has_a_worker_for_each_pipeline() -> None:
    path = FOLDER / "pipelines/pipelines.toml"
    names = set(tomllib.loads(path.read_text()))
    assert set(catalog.of(conf.Conf(pipelines=str(path))).names) == names
    workers = {folder.name: made for folder, made in KUSTOMIZATIONS.items() if folder.parent.name == "pipelines"}
    assert workers.keys() == names
    for name, made in workers.items():
        assert f"--pipeline={name}" in made["patches"][0]["patch"]
