"""What keys cost, and what wrong ones can do.

    python -m tests.benchmarks.keys            all of it, about three minutes
    python -m tests.benchmarks.keys --quick    half a minute, for a look
    python -m tests.benchmarks.keys --only timing

**timing**: wrong prefixes and wrong secrets, in random order in this process; a two-sided Mann-Whitney test of the
times, and the share of pairs in which the wrong secret took longer (0.5: no difference). Texts that lack the form of
a key, which everybody may tell, show what the test can see.

**throughput**: short texts of 128 clients, two servers by turns, one with ``keys`` and one ``open``.

**wrong keys**: different ones, each from an address of its own, which is the worst case. Queries, memory, and the
latency of a good key with and without them.

**revocation**: two web servers under load with one key, which is revoked: how long after it the last request was
answered, and a socket at each was closed.

As ``python -m tests.benchmarks.keys client`` this is the client, a process of its own.
"""

import argparse
import gc
import json
import math
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import django
import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests import processes
from tests.benchmarks.load import Connection, Load
from tests.benchmarks.texts import SHORT
from tests.benchmarks.window import Spec
from tests.processes import FAKE, ROOT, Web

CLIENTS = 128
TRIES, KNOWN = 10_000, 1000
WRONG = 100_000
PARTS = ("timing", "throughput", "wrong", "revocation")
FLOODING, GOOD = 32, 4
"""Connections."""
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


# Timing


def timing(tries: int) -> None:
    from inference.access.checking import Access  # noqa: PLC0415 - Django is not set up in the client
    from inference.access.key_table import KnownKey  # noqa: PLC0415
    from inference.access.keys import make  # noqa: PLC0415
    from inference.access.principal import Principal  # noqa: PLC0415
    from inference.conf import Conf  # noqa: PLC0415

    access = Access(Conf(access="keys"))
    keys = [make() for _ in range(KNOWN)]
    access.table.replace(KnownKey(bytes.fromhex(k.digest), math.inf, Principal(key=k.prefix)) for k in keys)
    makers: dict[str, Callable[[], str]] = {
        "wrong prefix": lambda: make().key,
        "wrong secret": lambda: random.choice(keys).key[:12] + make().key[12:],
        "no form of a key": lambda: make().key + "!",
    }
    offered = [(kind, frozenset({made()})) for kind, made in makers.items() for _ in range(tries)]
    random.shuffle(offered)
    addresses = iter([str(number) for number in range(len(offered))])
    times: dict[str, list[int]] = {kind: [] for kind in makers}
    gc.disable()
    for kind, key in offered:
        began = time.perf_counter_ns()
        access.caller(key, addresses.__next__)
        times[kind].append(time.perf_counter_ns() - began)
    gc.enable()
    for kind, each in times.items():
        say(f"  {kind}: median {median(each):.0f} ns, {len(each)} tries")
    for kind in ("wrong secret", "no form of a key"):
        share, p = mann_whitney(times[kind], times["wrong prefix"])
        told = "are told apart" if p < 0.01 else "are not told apart"
        say(f"  {kind} and wrong prefix: {told}; longer in {share:.4f} of pairs, p = {p:.3g}")


def mann_whitney(xs: list[int], ys: list[int]) -> tuple[float, float]:
    """The share of pairs in which x is larger (ties half), and the two-sided p by the normal approximation."""
    counts = Counter(xs) + Counter(ys)
    ranks, below = {}, 0
    for value, ties in sorted(counts.items()):
        ranks[value] = below + (ties + 1) / 2
        below += ties
    n, m = len(xs), len(ys)
    u = sum(ranks[x] for x in xs) - n * (n + 1) / 2
    tied = sum(ties**3 - ties for ties in counts.values()) / ((n + m) * (n + m - 1))
    spread = math.sqrt(n * m / 12 * (n + m + 1 - tied))
    return u / (n * m), math.erfc(abs(u - n * m / 2) / spread / math.sqrt(2))


# Servers


@contextmanager
def server(access: str, **env: str) -> Iterator[tuple[Web, str]]:
    """With a key, if it wants some."""
    settings = {"INFERENCE_ACCESS": access, "INFERENCE_THREADS": "1", **env}
    with processes.web(env=settings, wait_for=None, options=["--proxy-headers"]) as web:
        key = manage(web, MAKE) if access == "keys" else ""
        web.wait_until_answers("/health/ready")
        yield web, key
        web.kill()


MAKE = (
    "from inference.access.keys import make; from inference.models import ApiKey; key = make(); "
    "ApiKey.objects.create(owner='a', name='b', prefix=key.prefix, digest=key.digest); print(key.key)"
)
REVOKE = (
    "from inference.models import ApiKey; from django.utils import timezone; "
    "key = ApiKey.objects.get(prefix='PREFIX'); "
    "key.revoked_at = timezone.now(); key.save(); print(key.revoked_at.timestamp())"
)


def manage(web: Web, code: str) -> str:
    """What the code prints, in a process that uses the database of a server."""
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    env = processes.environment(None, web.database)
    return subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout.strip()


class Keyed(Load):
    """Sends the headers of ``wanted`` in turn."""

    def __init__(self, spec: Spec, headers: list[str]) -> None:
        super().__init__(spec)
        head, _, body = self._requests[0].partition(b"\r\n\r\n")
        self._requests = [b"%s\r\n%s\r\n\r\n%s" % (head, each.encode(), body) for each in headers]
        self._spec.tokens[:] = [1] * len(headers)
        self.seconds: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.last_ok_at = 0.0

    def _finished(self) -> bool:
        return self.answers >= self._spec.answers

    def _count(self, head: bytes, now: float, connection: Connection) -> None:
        self.answers += 1
        status = head[9:12].decode()
        self.statuses[status] += 1
        self.last_ok_at = time.time() if status == "200" else self.last_ok_at
        self.seconds.append(now - connection.sent_at)


def started(web: Web, *, clients: int, seconds: float, key: str = "", wrong: int = 0) -> "subprocess.Popen[str]":
    """A client with a key, or with so many wrong ones; it ends after the time, or when all of those were sent."""
    answers = wrong or 10**9
    spec = Spec(port=web.port, texts=[SHORT], tokens=[1], sessions=[], clients=clients, cap_s=seconds, answers=answers)
    command = [sys.executable, "-m", "tests.benchmarks.keys", "client"]
    client = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdin is not None
    json.dump({"spec": asdict(spec), "key": key, "wrong": wrong}, client.stdin)
    client.stdin.close()
    return client


def result(client: "subprocess.Popen[str]") -> Any:
    assert client.stdout is not None
    found = json.load(client.stdout)
    assert client.wait() == 0
    return found


def client() -> None:
    given = json.load(sys.stdin)
    headers = [f"Authorization: Bearer {given['key']}"] if given["key"] else ["x-none: 1"]
    if given["wrong"]:
        headers = [
            f"x-api-key: inf_{''.join(random.choices(ALPHABET, k=40))}\r\n"
            f"x-forwarded-for: 10.{n // 2**16}.{n // 2**8 % 2**8}.{n % 2**8}"
            for n in range(given["wrong"])
        ]
    load = Keyed(Spec(**given["spec"]), headers)
    began = time.perf_counter()
    load.run()
    lasted = time.perf_counter() - began
    found = {"seconds": load.seconds, "statuses": load.statuses, "lasted": lasted, "last_ok_at": load.last_ok_at}
    json.dump(found, sys.stdout)


def throughput(rounds: int, seconds: float) -> None:
    with ExitStack() as stack:
        servers = {access: stack.enter_context(server(access)) for access in ("open", "keys")}
        rates: dict[str, list[float]] = {"open": [], "keys": []}
        for number in range(-1, rounds):
            for access in ("open", "keys") if number % 2 else ("keys", "open"):
                web, key = servers[access]
                found = result(started(web, clients=CLIENTS, seconds=seconds, key=key))
                assert found["statuses"].keys() == {"200"}, found["statuses"]
                if number >= 0:  # the round before is a warm-up
                    rates[access].append(found["statuses"]["200"] / found["lasted"])
    ratios = [keys / free for keys, free in zip(rates["keys"], rates["open"], strict=True)]
    for access, each in rates.items():
        say(f"  {access}: median {median(each):.0f} texts/s of {[round(rate) for rate in each]}")
    say(f"  keys / open: median {median(ratios):.3f} of {[round(ratio, 3) for ratio in ratios]}")


def wrong_keys(count: int, seconds: float) -> None:
    queries = processes.scratch() / "queries"
    env = {"DJANGO_SETTINGS_MODULE": "tests.benchmarks.counted", "COUNT_QUERIES": str(queries), **FAKE}
    with server("keys", **env) as (web, key):
        result(started(web, clients=GOOD, seconds=1.0, key=key))  # a warm-up
        before = result(started(web, clients=GOOD, seconds=seconds, key=key))
        memory, asked, began = web.resident_mb(), _size(queries), time.monotonic()
        flood = started(web, clients=FLOODING, seconds=120.0, wrong=count)
        during = result(started(web, clients=GOOD, seconds=seconds, key=key))
        flooded = result(flood)
        lasted, asked = time.monotonic() - began, _size(queries) - asked
        say(f"  {sum(flooded['statuses'].values())} wrong keys in {lasted:.1f} s: {flooded['statuses']}")
        say(f"  memory: {memory:.0f} MB before, {web.resident_mb():.0f} MB after")
        say(f"  queries: {asked}, {asked / lasted:.1f} a second, those of the good key's log included")
        for name, found in (("without", before), ("with", during)):
            p50, p99 = (quantiles(found["seconds"], n=100)[part] * 1000 for part in (49, 98))
            rate = len(found["seconds"]) / found["lasted"]
            say(f"  a good key {name} them: {rate:.0f}/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms")


def revocation(seconds: float) -> None:
    env = {"INFERENCE_ACCESS": "keys", "INFERENCE_LAYER_PREFIX": "revocation", **FAKE}
    database = processes.new_database()
    with ExitStack() as stack:
        redis = stack.enter_context(processes.redis_server())
        worker = stack.enter_context(processes.worker(redis, env, wait=False))
        webs = [stack.enter_context(processes.web(redis, env, database=database)) for _ in range(2)]
        key = manage(webs[0], MAKE)
        for web in webs:
            processes.wait_until(lambda web=web: accepts(web, key), "the key works")  # type: ignore[misc]
        sockets = [stack.enter_context(ThreadPoolExecutor()).submit(closed_at, web, key) for web in webs]
        clients = [started(web, clients=GOOD, seconds=seconds, key=key) for web in webs]
        time.sleep(seconds / 2)
        revoked_at = float(manage(webs[0], REVOKE.replace("PREFIX", key[4:12])))
        found = [result(client) for client in clients]
        for number, (each, socket) in enumerate(zip(found, sockets, strict=True)):
            last = each["last_ok_at"] - revoked_at
            closed = socket.result() - revoked_at
            say(f"  web {number}: last answer after {last:.2f} s, socket closed after {closed:.2f} s")
        for process in (*webs, worker):
            process.kill()


def accepts(web: Web, key: str) -> bool:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(web.url, content=SHORT, headers=headers, trust_env=False).status_code == 200


def closed_at(web: Web, key: str) -> float:
    with (
        connect(web.socket_url, additional_headers={"x-api-key": key}, proxy=None) as socket,
        suppress(ConnectionClosed),
    ):
        while True:
            socket.recv()
    return time.time()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    parts = options.only or PARTS
    if "timing" in parts:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "inferencesite.settings")
        django.setup()
        say("timing")
        timing(TRIES)
    if "throughput" in parts:
        say("throughput")
        throughput(2 if options.quick else 8, 2.0 if options.quick else 4.0)
    if "wrong" in parts:
        say("wrong keys")
        wrong_keys(5000 if options.quick else WRONG, 2.0 if options.quick else 20.0)
    if "revocation" in parts:
        say("revocation")
        revocation(10.0)


if __name__ == "__main__":
    client() if sys.argv[1:] == ["client"] else main()
