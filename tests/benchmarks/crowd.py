"""Many keep-alive connections, each of which asks again a moment after a refusal: what is still answered in time.

``make bench BENCH="--only crowd"``. The peak is that of 32 clients in the same run; what a refusal costs stands beside
an echo on bare Daphne. As a process of its own (``python -m tests.benchmarks.crowd``) this is the client.
"""

import heapq
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any

from tests import processes
from tests.benchmarks import proc, servers, texts
from tests.benchmarks.load import Connection, Load
from tests.benchmarks.measure import Timing, closed_loop, folder
from tests.benchmarks.overload import _parted
from tests.benchmarks.window import Spec
from tests.processes import ROOT, Process

SERVERS = ("ours:INFERENCE_THREADS=1", "ours-redis:INFERENCE_THREADS=1")
CONNECTIONS = (300, 1000)
PAUSE_S = 0.4
"""After a refusal."""
DEADLINE_S = 2.0
WARMUP_S, SECONDS = 4.0, 12.0
CONNECT_EVERY_S = 0.003
PEAK_CLIENTS = 32


class Crowd(Load):
    """A closed loop in which whoever is refused waits for a moment, as far as the client can tell from the status."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        header = f"x-request-timeout-seconds: {DEADLINE_S:g}\r\n\r\n".encode()
        self._requests = [head + b"\r\n" + header + body for head, body in map(_parted, self._requests)]
        self._paused: list[tuple[float, int, Connection]] = []
        self._counts_from = time.perf_counter() + WARMUP_S + spec.clients * CONNECT_EVERY_S
        self.seconds: dict[str, list[float]] = {}
        self.all_answers: Counter[str] = Counter()
        self.closed = 0

    def run(self) -> Any:
        self._free = [self._connect() for _ in range(self._spec.clients)]
        began = time.perf_counter()
        self._counts_from, end = began + WARMUP_S, began + WARMUP_S + SECONDS
        for number, connection in enumerate(self._free):
            heapq.heappush(self._paused, (began + PAUSE_S * number / len(self._free), number, connection))
        self._free = []
        while (now := time.perf_counter()) < end:
            while self._paused and self._paused[0][0] <= now:
                self._send(heapq.heappop(self._paused)[2])
            due = self._paused[0][0] if self._paused else end
            for fd, _ in self._poll.poll(max(0.0, min(due, end) - now)):
                self._read(self._connections[fd])

    def _connect(self) -> Connection:
        time.sleep(CONNECT_EVERY_S)
        return super()._connect()

    def _count(self, head: bytes, now: float, connection: Connection) -> None:
        status = head[9:12].decode("latin-1")
        self._refused_last = status != "200"
        self.all_answers[status] += 1
        if now >= self._counts_from:
            self.seconds.setdefault(status, []).append(now - connection.sent_at)

    def _go_on(self, connection: Connection) -> None:
        if not self._refused_last:
            self._send(connection)
            return
        heapq.heappush(self._paused, (time.perf_counter() + PAUSE_S, id(connection), connection))

    def _replace(self, connection: Connection) -> None:
        self.closed += 1
        self._refused_last = True
        super()._replace(connection)


@dataclass(frozen=True, kw_only=True)
class Found:
    server: str
    connections: int
    peak_per_s: float
    answered_per_s: float
    """In time."""
    refused_per_s: float
    refusal_p50_ms: float
    refusal_p99_ms: float
    cpu_ms_per_refusal: float
    """Of all CPU of the server, less what its answers cost under the closed loop."""
    echo_cpu_ms: float
    timeouts: int
    late: int
    """Answers with a result after the deadline."""
    loading: int
    """Refusals that say so, although the model is loaded."""
    closed: int
    ready: float
    """Share of looks at ``/health/ready`` that found it ready."""

    def lines(self) -> list[str]:
        kept = self.answered_per_s / self.peak_per_s
        return [
            f"{self.connections} connections at {self.server}, {PAUSE_S:g} s after each refusal, "
            f"deadline {DEADLINE_S:g} s:",
            f"  answered in time {self.answered_per_s:.0f}/s ({kept:.2f} of the peak of {self.peak_per_s:.0f}), "
            f"refused {self.refused_per_s:.0f}/s",
            f"  until a refusal, p50 and p99: {self.refusal_p50_ms:.0f} and {self.refusal_p99_ms:.0f} ms; "
            f"CPU of a refusal: {self.cpu_ms_per_refusal:.3f} ms (an echo on bare Daphne: {self.echo_cpu_ms:.3f} ms)",
            f"  504: {self.timeouts}; late: {self.late}; loading: {self.loading}; closed: {self.closed}; "
            f"ready {self.ready:.0%} of the time",
        ]


@contextmanager
def _echo() -> Iterator[servers.Target]:
    port = processes.free_port()
    command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0"]
    process = Process(
        "echo",
        [*command, "tests.benchmarks.echo_app:application"],
        processes.environment(None, processes.new_database()),
    )
    target = servers.Target("echo", port, [])
    with process.runs(lambda: process.wait_for(lambda: servers._answers(target), "it answers")):
        yield servers.Target("echo", port, [process.pid])
        process.kill()


def echo_cpu_ms() -> float:
    """CPU of one request in Daphne alone."""
    with _echo() as target:
        before = sum(proc.cpu_s(target.sessions))
        closed = closed_loop(target, "short", PEAK_CLIENTS, Timing(window_s=2.0, windows=2))
        return (sum(proc.cpu_s(target.sessions)) - before) / closed.answers * 1000


def measured(server: str, *, favour: bool = False, connections: tuple[int, ...] = CONNECTIONS) -> list[Found]:
    """``favour`` the server before all other processes of the machine."""
    echo = echo_cpu_ms()
    found = []
    with servers.running(server, folder("bundled")) as target:
        for session in target.sessions if favour else ():
            proc.favour(session)
        before = sum(proc.cpu_s(target.sessions))
        closed = closed_loop(target, "mixed", PEAK_CLIENTS, Timing(window_s=3.0, windows=3))
        cpu_of_an_answer = (sum(proc.cpu_s(target.sessions)) - before) / closed.answers
        rates = sorted(len(w["latencies_ms"]) / w["seconds"] for w in closed.windows)
        for number in connections:
            before = sum(proc.cpu_s(target.sessions))
            seen = _crowd(target, number)
            spent = sum(proc.cpu_s(target.sessions)) - before
            found.append(_found(server, number, rates[len(rates) // 2], seen, spent, cpu_of_an_answer, echo))
    return found


def _found(
    server: str, number: int, peak: float, seen: Any, spent: float, cpu_of_an_answer: float, echo: float
) -> Found:
    answered, refused, every = seen["seconds"].get("200", []), seen["seconds"].get("503", []), seen["all_answers"]
    in_time = sum(seconds <= DEADLINE_S for seconds in answered)
    centiles = [seconds * 1000 for seconds in quantiles(refused, n=100)] if len(refused) > 1 else [0.0] * 99
    return Found(
        server=server,
        connections=number,
        peak_per_s=peak,
        answered_per_s=in_time / SECONDS,
        refused_per_s=len(refused) / SECONDS,
        refusal_p50_ms=centiles[49],
        refusal_p99_ms=centiles[98],
        cpu_ms_per_refusal=(spent - cpu_of_an_answer * every.get("200", 0)) / max(1, every.get("503", 0)) * 1000,
        echo_cpu_ms=echo,
        timeouts=every.get("504", 0),
        late=sum(seconds > DEADLINE_S for seconds in answered),
        loading=seen["loading"],
        closed=seen["closed"],
        ready=seen["ready"],
    )


def _crowd(target: servers.Target, number: int) -> Any:
    sent = texts.corpus("mixed")
    spec = Spec(port=target.port, texts=sent, tokens=[1] * len(sent), sessions=[], clients=number)
    command = [sys.executable, "-m", "tests.benchmarks.crowd"]
    with tempfile.TemporaryFile("w+") as results:
        client = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=results, text=True)
        assert client.stdin
        client.stdin.write(json.dumps(asdict(spec)))
        client.stdin.close()
        looks = ready = 0
        while client.poll() is None:
            time.sleep(0.5)
            looks += 1
            ready += bool(_get(target.port, "/health/ready"))
        results.seek(0)
        lines = _get(target.port, "/metrics").splitlines()
        loading = sum(float(line.split()[-1]) for line in lines if _LOADING in line)
        return json.load(results) | {"ready": ready / looks, "loading": int(loading)}


_LOADING = 'code="loading"'


def _get(port: int, path: str) -> str:
    """The body of an answer with 200, or an empty text."""
    import httpx  # noqa: PLC0415 - the client, which is this module, imports the standard library only

    with suppress(httpx.TransportError):
        response = httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=20)
        return response.text if response.status_code == 200 else ""
    return ""


def main() -> None:
    crowd = Crowd(Spec(**json.load(sys.stdin)))
    crowd.run()
    json.dump(
        {"seconds": crowd.seconds, "all_answers": crowd.all_answers, "closed": crowd.closed},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
