"""Runs the loads and keeps what they found, one ``Row`` per server, texts and load."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any

from inference.conf import BUNDLED_MODEL
from tests.benchmarks import models, texts
from tests.benchmarks.servers import Target
from tests.benchmarks.window import Spec
from tests.processes import ROOT

LIMITS = {"limit": "float32", "limit-bf16": "bfloat16"}
OFFLINE = {"offline": "float32", "offline-bf16": "bfloat16"}
PIPELINE = "pipeline"
WAIT_POLICIES = ("PASSIVE", "default")
"""By default, threads spin for a while: faster where nothing else runs, and far slower where something does."""
SPARE_S = 60.0
"""A client that takes so much longer than its own cap is ended."""


class Failed(Exception):
    """A load, or something without a server, did not run to its end."""


@dataclass(frozen=True)
class Key:
    """``load`` is a number of clients, ``open`` (arrivals at random moments) or ``direct`` (no server)."""

    model: str
    server: str
    corpus: str
    load: str


@dataclass
class Row:
    """Medians over windows; latencies over all of them."""

    key: Key
    windows: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def rates(self) -> list[float]:
        return [len(w["latencies_ms"]) / w["seconds"] if "latencies_ms" in w else w["rate"] for w in self.windows]

    @property
    def rate(self) -> float:
        return median(self.rates)

    @property
    def cpu_ms(self) -> float | None:
        return self._per_answer("server_cpu_s")

    @property
    def main_thread_cpu_ms(self) -> float | None:
        return self._per_answer("main_thread_cpu_s")

    @property
    def client_cpu_ms(self) -> float | None:
        return self._per_answer("client_cpu_s")

    @property
    def batch(self) -> float | None:
        if fixed := self.extra.get("batch"):
            return float(fixed)
        batches, batched = self._sum("batches"), self._sum("batched")
        return batched / batches if batches else None

    @property
    def padding(self) -> float | None:
        if "padding" in self.extra:
            return float(self.extra["padding"])
        padded = self._sum("padded_tokens")
        return 1 - self._sum("real_tokens") / padded if padded else None

    @property
    def other_cores(self) -> float:
        return float(median(w["other_cores"] for w in self.windows))

    @property
    def refused(self) -> dict[str, int]:
        """Answers that were no 200, by status."""
        counts: dict[str, int] = {}
        for window in self.windows:
            for status, count in window.get("statuses", {}).items():
                if status != "200":
                    counts[status] = counts.get(status, 0) + count
        return counts

    @property
    def complete(self) -> bool:
        return all(w.get("complete", True) for w in self.windows)

    def latency_ms(self, percentile: int) -> float | None:
        every = [latency for w in self.windows for latency in w.get("latencies_ms", ())]
        return quantiles(every, n=100, method="inclusive")[percentile - 1] if len(every) > 1 else None

    def summary(self) -> dict[str, Any]:
        """What goes into the JSON file."""
        figures = {
            "req_per_s": self.rate,
            "p50_ms": self.latency_ms(50),
            "p99_ms": self.latency_ms(99),
            "cpu_ms_per_request": self.cpu_ms,
            "main_thread_cpu_ms_per_request": self.main_thread_cpu_ms,
            "client_cpu_ms_per_request": self.client_cpu_ms,
            "mean_batch": self.batch,
            "padding_ratio": self.padding,
            "other_cores": self.other_cores,
        }
        rounded = {name: None if value is None else round(value, 4) for name, value in figures.items()}
        rates = [round(rate, 2) for rate in self.rates]
        return asdict(self.key) | rounded | {"windows_req_per_s": rates, "not_200": self.refused} | self.extra

    def _sum(self, name: str) -> float:
        return float(sum(window.get(name, 0) for window in self.windows))

    def _per_answer(self, name: str) -> float | None:
        each = [
            w[name] / len(w["latencies_ms"]) * 1000 for w in self.windows if name in w and w.get("latencies_ms", ())
        ]
        return median(each) if each else self.extra.get("cpu_ms") if name == "server_cpu_s" else None


class Results:
    """All rows of a run; what is measured again joins the row that is there."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}

    def add(self, key: Key, windows: list[dict[str, Any]], **extra: Any) -> Row:
        row = self.rows.setdefault(key, Row(key))
        row.windows += windows
        row.extra |= extra
        return row

    def get(self, model: str, server: str, corpus: str, load: str | int) -> Row | None:
        return self.rows.get(Key(model, server, corpus, str(load)))


@dataclass(frozen=True, kw_only=True)
class Timing:
    warmup_s: float = 1.0
    window_s: float = 1.8
    windows: int = 3
    cap_s: float = 15.0
    drain_s: float = 20.0


def folder(model: str) -> str:
    return BUNDLED_MODEL if model == "bundled" else str(models.bert_base())


@dataclass(frozen=True)
class Loaded:
    """What a load brought; ``tokens`` are those of all answers, outside of windows too."""

    windows: list[dict[str, Any]]
    answers: int
    tokens: int


def closed_loop(target: Target, corpus: str, clients: int, timing: Timing) -> Loaded:
    return run_load(_spec(target, corpus, timing, clients=clients))


def open_loop(target: Target, corpus: str, arrivals_per_s: float, timing: Timing) -> Loaded:
    return run_load(_spec(target, corpus, timing, clients=32, arrivals_per_s=arrivals_per_s))


def so_many(target: Target, corpus: str, clients: int, answers: int, cap_s: float) -> int:
    """A closed loop that ends with a number of answers, or after a time; returns how many there were."""
    timing = Timing(windows=1_000, cap_s=cap_s)
    return run_load(_spec(target, corpus, timing, clients=clients, answers=answers)).answers


def _spec(target: Target, corpus: str, timing: Timing, **more: Any) -> Spec:
    sent = texts.corpus(corpus)
    return Spec(
        port=target.port,
        path=target.path,
        as_json=target.as_json,
        sessions=target.sessions,
        texts=sent,
        tokens=[texts.count_tokens(text) for text in sent],
        **asdict(timing),
        **more,
    )


def run_load(spec: Spec) -> Loaded:
    """The client, in a process of its own."""
    return Loaded(**_json_of("load", [], json.dumps(asdict(spec)), spec.cap_s + SPARE_S))


def limit(model: str, name: str, corpus: str, policies: Sequence[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """With the best of these wait policies."""
    options = ["--model", folder(model), "--dtype", LIMITS[name], "--corpus", corpus]
    found = [_json_of("limit", options, env=_waiting(policy)) | {"wait_policy": policy} for policy in policies]
    best = max(found, key=lambda result: float(result["rate"]))
    windows = [{"rate": rate, "other_cores": best["other_cores"]} for rate in best.pop("rates")]
    return windows, best


def offline(model: str, name: str, corpus: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Our pipeline without the server. It chooses its wait policy itself."""
    options = ["--model", folder(model), "--dtype", OFFLINE[name], "--corpus", corpus]
    found = _json_of("offline", options)
    return [{"rate": rate, "other_cores": found["other_cores"]} for rate in found.pop("rates")], found


def bare_pipeline(
    model: str, corpus: str, policies: Sequence[str], timing: Timing
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """With the best of these wait policies."""
    options = ["--model", folder(model), "--corpus", corpus, "--windows", str(timing.windows)]
    options += ["--seconds", str(timing.window_s)]
    found = {policy: _json_of("bare_pipeline", options, env=_waiting(policy)) for policy in policies}
    best = max(found, key=lambda policy: sum(len(w["latencies_ms"]) / w["seconds"] for w in found[policy]))
    return found[best], {"wait_policy": best}


def _waiting(policy: str) -> dict[str, str]:
    return {} if policy == "default" else {"OMP_WAIT_POLICY": policy}


def _json_of(
    module: str,
    options: Sequence[str],
    stdin: str = "",
    cap_s: float = 240.0,
    env: dict[str, str] | None = None,
) -> Any:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *options]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=inherited | {"HF_HUB_OFFLINE": "1"} | (env or {}),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=cap_s,
        check=False,
    )
    if ran.returncode:
        raise Failed(f"{command[2]} failed:\n{ran.stderr[-2000:]}")
    return json.loads(ran.stdout)
