"""``docs/monitoring`` against the metrics of a real server: every name exists, and each alert fires when it should."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import processes
from tests.processes import ROOT, figure, wait_until

FOLDER = ROOT / "docs" / "monitoring"
RULES = FOLDER / "alerts.yml"
DASHBOARD = FOLDER / "grafana-dashboard.json"
README = FOLDER / "README.md"
NAME = re.compile(r"\binference_[a-z0-9_]*[a-z0-9]\b")
MINUTES, LATER = 40, 13
FOREVER = f"x{MINUTES}"
"""All is well for so long, and trouble lasts as long; after ``LATER`` it has been noticed."""

pytestmark = pytest.mark.timeout(600)
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool (Debian: prometheus)")


class Sample(NamedTuple):
    name: str
    labels: tuple[tuple[str, str], ...]
    value: float

    def series(self) -> str:
        return self.name + "{" + ", ".join(f'{name}="{value}"' for name, value in self.labels) + "}"


class Scrape(NamedTuple):
    samples: list[Sample]
    names: set[str]
    """Also of metrics that have no sample yet."""


@pytest.fixture(scope="module")
def scrape() -> Scrape:
    """Of a server that has answered, refused and failed."""
    env = processes.FAKE | {"INFERENCE_TASK": "text-generation", "INFERENCE_DEADLINE_S": "30"}
    with processes.web(env=env) as server, httpx.Client(base_url=server.url, trust_env=False, timeout=60) as http:
        assert http.post("/", content="a prompt").status_code == 200
        assert http.post("/", json={"inputs": "a", "stream": True}).status_code == 200
        assert http.post("/", content="").status_code == 400
        wait_until(lambda: figure(http.get("/metrics").text, "jobs_total") >= 2, "the worker has told what it ran")
        text = http.get("/metrics").text
    families = list(text_string_to_metric_families(text))
    samples = [
        Sample(sample.name, tuple(sorted(sample.labels.items())), sample.value)
        for family in families
        for sample in family.samples
    ]
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    return Scrape(samples, names | {sample.name for sample in samples})


def names_in(text: str) -> set[str]:
    return set(NAME.findall(text))


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def expressions(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_every_metric_that_is_named_exists(scrape: Scrape) -> None:
    assert names_in(RULES.read_text()) <= scrape.names
    assert names_in("\n".join(expressions(json.loads(DASHBOARD.read_text())["panels"]))) <= scrape.names
    assert names_in(README.read_text().replace("`inference_workers_…`", "")) <= scrape.names


def test_the_readme_says_what_to_do_about_each_alert() -> None:
    text = README.read_text()
    assert alerts()
    assert [name for name in alerts() if f"`{name}`" not in text] == []
    assert set(re.findall(r"`(Inference\w+)`", text)) == set(alerts())


# The dashboard


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    source = {"type": "prometheus", "uid": "${datasource}"}
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"] == source
            assert all(target["datasource"] == source for target in panel["targets"])
    used = {name for each in expressions(dashboard["panels"]) for name in re.findall(r"\$(\w+)", each)}
    assert used <= {*variables, "__rate_interval"}


@needs_promtool
def test_prometheus_can_read_each_expression(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    texts = [each.replace("$__rate_interval", "5m").replace('"$', '"') for each in expressions(panels)]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(texts)]
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))  # JSON is YAML
    promtool("check", "rules", str(path))


# The rules


def promtool(*arguments: str) -> None:
    ended = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@needs_promtool
def test_the_rules_are_rules() -> None:
    promtool("check", "rules", str(RULES))


class Trouble(NamedTuple):
    """What metrics do from the middle on, and the alert for it."""

    alert: str
    values: Mapping[str, str]
    """By the beginning of a series: the values from then on, in Prometheus' notation."""


TROUBLES = [
    Trouble("InferenceDown", {"up": f"0+0{FOREVER}"}),
    Trouble("InferenceNotReady", {"inference_workers_ready": f"0+0{FOREVER}"}),
    Trouble("InferenceLoadFailed", {"inference_workers_failed": f"1+0{FOREVER}"}),
    Trouble("InferenceWorkersLost", {"inference_worker_hosts": f"0+0{FOREVER}"}),
    Trouble("InferenceJobsSentAgain", {"inference_redispatched_jobs_total": f"0+10{FOREVER}"}),
    Trouble("InferenceRefuses", {'inference_requests_total{code="overloaded"': f"0+600{FOREVER}"}),
    Trouble("InferenceFails", {'inference_requests_total{code="timeout"': f"0+60{FOREVER}"}),
    Trouble("InferenceStuck", {"inference_queue_depth": f"7+0{FOREVER}", "inference_jobs_total": f"40+0{FOREVER}"}),
    Trouble("InferenceLongWait", {"inference_predicted_wait_seconds": f"15+0{FOREVER}"}),
    Trouble("InferenceVersionMismatch", {"inference_workers_version_mismatch": f"1+0{FOREVER}"}),
    Trouble("InferenceLogDropsRows", {"inference_request_log_dropped_requests_total": f"0+1{FOREVER}"}),
    Trouble("InferenceLogBehind", {"inference_request_log_pending_rows": f"9000+0{FOREVER}"}),
]
ALSO = {"InferenceDown": {"InferenceAllDown"}}
"""What fires with it, where there is only one web process."""


def series(samples: list[Sample], values: Mapping[str, str]) -> list[dict[str, str]]:
    """Of a server that serves steadily as it did, and from the middle on as ``values`` say."""
    pipeline = next(dict(sample.labels)["pipeline"] for sample in samples if sample.name == "inference_workers_ready")
    request = {"pipeline": pipeline, "transport": "http"}
    others = [
        Sample("inference_requests_total", tuple(sorted((request | {"status": status, "code": code}).items())), 0.0)
        for status, code in (("refused", "overloaded"), ("failed", "timeout"))
    ]
    made = []
    for sample in [*samples, *others, Sample("up", (), 1.0)]:
        steady = _steady(sample)
        wrong = next((value for begin, value in values.items() if sample.series().startswith(begin)), steady)
        labels = (*sample.labels, ("instance", "web-1"), ("job", "inference"))
        made.append({"series": sample._replace(labels=labels).series(), "values": f"{steady} {wrong}"})
    return made


def _steady(sample: Sample) -> str:
    grows = sample.name in ("inference_jobs_total", "inference_batches_total") or (
        sample.name == "inference_requests_total" and ("status", "ok") in sample.labels
    )
    return f"{sample.value:g}+{60 if grows else 0}{FOREVER}"


def firing(names: set[str]) -> list[dict[str, Any]]:
    return [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)]


@needs_promtool
def test_each_alert_fires_for_its_trouble_and_for_no_other(scrape: Scrape, tmp_path: Path) -> None:
    assert {trouble.alert for trouble in TROUBLES} | ALSO["InferenceDown"] == set(alerts())
    tests = []
    for alert, values in TROUBLES:
        moments: dict[int, set[str]] = {MINUTES - 1: set(), MINUTES + LATER: {alert} | ALSO.get(alert, set())}
        checks = [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minute}m",
                "exp_samples": firing(names),
            }
            for minute, names in moments.items()
        ]
        tests.append({"interval": "1m", "input_series": series(scrape.samples, values), "promql_expr_test": checks})
    path = tmp_path / "tests.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", str(path))
