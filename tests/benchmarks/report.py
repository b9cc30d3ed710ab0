"""Tables for people, JSON for comparisons."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.benchmarks import texts
from tests.benchmarks.measure import Results, Row
from tests.benchmarks.servers import PEERS_PYTHON
from tests.benchmarks.targets import BUSY_CORES, REFERENCES, compared, targets
from tests.processes import ROOT

PACKAGES = ("torch", "transformers", "tokenizers", "django", "channels", "daphne", "redis", "msgspec")
PEER_PACKAGES = ("litserve", "starlette", "uvicorn", "xllamacpp", "torch", "transformers")
EXPLANATION = (
    "CPU ms: of all server processes per request; main: of that, the web process's event loop; client: its own."
)


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def machine() -> dict[str, Any]:
    """Facts without which the figures mean nothing."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    flags = Path("/proc/cpuinfo").read_text()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": model.partition(":")[2].strip(),
        "cores": len(os.sched_getaffinity(0)),
        "avx512_bf16": "avx512_bf16" in flags,
        "amx_bf16": "amx_bf16" in flags,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "peer_versions": _peer_versions(),
        "revision": _revision(),
        "texts": texts.describe(texts.mixed()),
    }


def _peer_versions() -> dict[str, str]:
    if not PEERS_PYTHON.exists():
        return {}
    code = f"from importlib import metadata as m; print(*(m.version(n) for n in {PEER_PACKAGES!r}))"
    ran = subprocess.run([PEERS_PYTHON, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    return dict(zip(PEER_PACKAGES, ran.stdout.split(), strict=False))


def _revision() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False).stdout.strip()


def heading(width: int) -> None:
    """``width`` is that of the servers' names."""
    say(
        f"{'model':8}{'texts':7}{'load':>7}  {'server':{width}}{'req/s':>8} {'windows':>13}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'CPU ms':>8}{'main':>7}{'client':>7}{'batch':>7}{'padding':>8}  remarks"
    )


def line(row: Row, width: int) -> str:
    key = row.key
    rates = "–".join(f"{rate:.{1 if rate < 100 else 0}f}" for rate in (min(row.rates), max(row.rates)))
    return (
        f"{key.model:8}{key.corpus:7}{key.load:>7}  {key.server:{width}}{row.rate:8.1f} {rates:>13}"
        f"{_number(row.latency_ms(50), 9)}{_number(row.latency_ms(99), 9)}"
        f"{_number(row.cpu_ms, 8, 2)}{_number(row.main_thread_cpu_ms, 7, 2)}{_number(row.client_cpu_ms, 7, 3)}"
        f"{_number(row.batch, 7)}{_percent(row.padding)}  {'; '.join(_remarks(row))}"
    )


def _remarks(row: Row) -> list[str]:
    remarks = [row.extra["remark"]] if "remark" in row.extra else []
    if "wait_policy" in row.extra:
        remarks.append(f"{row.extra['wait_policy']} wait")
    if not row.complete:
        remarks.append("too slow for a whole window")
    if row.refused:
        remarks.append("not 200: " + ", ".join(f"{count} x {status}" for status, count in row.refused.items()))
    if row.other_cores > BUSY_CORES:
        remarks.append(f"DISTURBED: others used {row.other_cores:.1f} cores")
    return remarks


def _number(value: float | None, width: int, digits: int = 1) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"


def _percent(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.1%}"


def table(rows: Iterable[Row], width: int) -> None:
    heading(width)
    for row in rows:
        say(line(row, width))
    say(EXPLANATION)


def references(results: Results) -> None:
    """The bare model here against the machine on which the targets were set."""
    for reference in REFERENCES:
        if row := results.get(reference.model, reference.limit, reference.corpus, "direct"):
            say(compared(reference, row))


def judgement(results: Results) -> list[dict[str, Any]]:
    """Prints target and reached of what this run measured; returns the same for the file."""
    judged = []
    for target in targets():
        reached = target.reached(results)
        if reached is None:
            continue
        met = target.met(reached)
        bound = "at most" if target.at_most else "at least"
        say(f"{'ok  ' if met else 'MISS'} {target.what:66} {bound:9}{target.wanted:6.2f}  reached {reached:6.2f}")
        judged.append({"what": target.what, "wanted": target.wanted, "reached": round(reached, 4), "met": met})
    return judged


def write(path: Path, facts: dict[str, Any], results: Results, judged: list[dict[str, Any]], **more: Any) -> None:
    rows = [row.summary() for row in results.rows.values()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": facts, "rows": rows, "targets": judged, **more}, indent=1) + "\n")
    say(f"JSON: {path}")
