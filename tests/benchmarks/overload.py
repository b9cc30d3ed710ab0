"""Ten times more than the server can do: what it still answers, and how soon it refuses the rest.

``make bench BENCH="--only overload"``. Capacity is measured first, with a closed loop; then requests come at random
moments, ten times as many, each with a deadline. One CPU thread for the model in both, so that the web side has a core.
As a process of its own (``python -m tests.benchmarks.overload``) this is the client of the second part.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any

from tests.benchmarks import proc, servers, texts
from tests.benchmarks.load import MAX_CONNECTIONS, Connection, Load
from tests.benchmarks.measure import Timing, closed_loop, folder
from tests.benchmarks.window import Spec
from tests.processes import ROOT

SERVERS = ("ours:INFERENCE_THREADS=1", "ours-redis:INFERENCE_THREADS=1")
CLIENTS = 128
TIMES = 10
DEADLINE_S = 5.0
WARMUP_S, SECONDS = 3.0, 10.0
CONNECT_EVERY_S = 0.003
OK, REFUSED, LATE = "200", "503", "504"


class Flood(Load):
    """An open loop that notes how long each kind of answer took, after a warm-up."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        header = f"x-request-timeout-seconds: {DEADLINE_S:g}\r\n\r\n".encode()
        self._requests = [head + b"\r\n" + header + body for head, body in map(_parted, self._requests)]
        self.seconds: dict[str, list[float]] = {}
        self.all_answers: dict[str, int] = {}
        self._counts_from = 0.0

    def _finished(self) -> bool:
        return False

    def _connect(self) -> Connection:
        """All are open before the flood, one by one: a listening socket's queue is short, a full one costs a second."""
        time.sleep(CONNECT_EVERY_S)
        return super()._connect()

    def _count(self, head: bytes, now: float, connection: Connection) -> None:
        status = head[9:12].decode("latin-1")
        self._counts_from = self._counts_from or now + WARMUP_S
        self.all_answers[status] = self.all_answers.get(status, 0) + 1
        if now >= self._counts_from and not self._draining:
            self.seconds.setdefault(status, []).append(now - connection.sent_at)


def _parted(request: bytes) -> tuple[bytes, bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head, body


@dataclass(frozen=True, kw_only=True)
class Found:
    server: str
    capacity_per_s: float
    answered_per_s: float
    """In time."""
    refused_per_s: float
    refusal_p99_ms: float
    cpu_ms_per_refusal: float
    """Of all CPU of the server, less what its answers cost under the closed loop."""
    late: int
    """Answers with a result after the deadline."""
    timeouts: int
    unsent: int
    """Arrivals for which the client had no connection left."""

    def lines(self) -> list[str]:
        kept = self.answered_per_s / self.capacity_per_s
        return [
            f"Overload of {self.server}, {TIMES} x {self.capacity_per_s:.0f}/s, deadline {DEADLINE_S:g} s:",
            f"  answered in time {self.answered_per_s:.0f}/s ({kept:.2f} of it), refused {self.refused_per_s:.0f}/s",
            f"  until a refusal, p99: {self.refusal_p99_ms:.1f} ms; CPU of a refusal: {self.cpu_ms_per_refusal:.3f} ms",
            f"  results after the deadline: {self.late}; 504: {self.timeouts}; not sent: {self.unsent}",
        ]


def measured(server: str, *, favour: bool = False) -> Found:
    """``favour`` the server before all other processes of the machine."""
    with servers.running(server, folder("bundled")) as target:
        for session in target.sessions if favour else ():
            proc.favour(session)
        before = sum(proc.cpu_s(target.sessions))
        closed = closed_loop(target, "mixed", CLIENTS, Timing(window_s=3.0, windows=3))
        cpu_of_an_answer = (sum(proc.cpu_s(target.sessions)) - before) / closed.answers
        rates = sorted(len(w["latencies_ms"]) / w["seconds"] for w in closed.windows)
        capacity = rates[len(rates) // 2]
        before = sum(proc.cpu_s(target.sessions))
        flood = _flood(target, TIMES * capacity)
        spent = sum(proc.cpu_s(target.sessions)) - before
    answered, refused = flood["seconds"].get(OK, []), flood["seconds"].get(REFUSED, [])
    in_time = sum(seconds <= DEADLINE_S for seconds in answered)
    every = flood["all_answers"]
    return Found(
        server=server,
        capacity_per_s=capacity,
        answered_per_s=in_time / SECONDS,
        refused_per_s=len(refused) / SECONDS,
        refusal_p99_ms=quantiles(refused, n=100)[98] * 1000 if len(refused) > 1 else 0.0,
        cpu_ms_per_refusal=(spent - cpu_of_an_answer * every.get(OK, 0)) / max(1, every.get(REFUSED, 0)) * 1000,
        late=len(answered) - in_time,
        timeouts=every.get(LATE, 0),
        unsent=flood["unsent"],
    )


def _flood(target: servers.Target, arrivals_per_s: float) -> Any:
    sent = texts.corpus("mixed")
    spec = Spec(
        port=target.port,
        texts=sent,
        tokens=[1] * len(sent),
        sessions=[],
        clients=MAX_CONNECTIONS,
        arrivals_per_s=arrivals_per_s,
        cap_s=WARMUP_S + SECONDS,
        drain_s=5.0,
    )
    command = [sys.executable, "-m", "tests.benchmarks.overload"]
    ran = subprocess.run(
        command, cwd=ROOT, input=json.dumps(asdict(spec)), capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(ran.stdout)


def main() -> None:
    flood = Flood(Spec(**json.load(sys.stdin)))
    flood.run()
    json.dump({"seconds": flood.seconds, "all_answers": flood.all_answers, "unsent": flood._unsent}, sys.stdout)


if __name__ == "__main__":
    main()
