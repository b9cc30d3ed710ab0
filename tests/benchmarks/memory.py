"""What the server holds in memory, and what it costs when nobody asks."""

import time
from typing import Any

from inference.conf import BUNDLED_MODEL
from tests.benchmarks import proc, servers
from tests.benchmarks.measure import so_many
from tests.benchmarks.report import say

REQUESTS = (1_000, 4_000, 5_000)
CLIENTS = 64
IDLE_S = 5.0
SETTLE_S = 2.0
CAP_S = 60.0


def measured(server: str = "ours") -> dict[str, Any]:
    """Resident megabytes after so many requests of mixed length; CPU milliseconds per second while idle."""
    with servers.running(server, BUNDLED_MODEL) as target:
        found: dict[str, Any] = {"idle_cpu_ms_per_s": _idle(target), "resident_mb": {0: _resident(target)}}
        done = 0
        for count in REQUESTS:
            done += so_many(target, "mixed", CLIENTS, count, CAP_S)
            time.sleep(SETTLE_S)
            found["resident_mb"][done] = _resident(target)
        found["idle_cpu_ms_per_s_after"] = _idle(target)
    sizes = ", ".join(f"{size:.0f} MB after {count}" for count, size in found["resident_mb"].items())
    say(f"memory of {server}: {sizes} requests")
    say(
        f"idle: {found['idle_cpu_ms_per_s']:.1f} ms of CPU per second after start, "
        f"{found['idle_cpu_ms_per_s_after']:.1f} after the requests"
    )
    return found


def _resident(target: servers.Target) -> float:
    return round(proc.resident_mb(target.sessions), 1)


def _idle(target: servers.Target) -> float:
    before = sum(proc.cpu_s(target.sessions))
    time.sleep(IDLE_S)
    return round((sum(proc.cpu_s(target.sessions)) - before) / IDLE_S * 1000, 1)
