"""What open live pages of the admin cost.

    python -m tests.benchmarks.live_pages              50 pages, three minutes
    python -m tests.benchmarks.live_pages --rounds 2   a look

One server with a fake pipeline in its process. By turns without pages and with them: CPU time while nothing is asked,
and CPU time and latency while requests come at a steady rate, which the server must be able to answer. Each page has a
session of its own.

As ``python -m tests.benchmarks.live_pages pages`` this is the browsers, a process of its own.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from statistics import fmean, median, quantiles
from typing import Any

from websockets.asyncio.client import connect

from tests import processes
from tests.benchmarks import proc
from tests.benchmarks.keys import manage, say
from tests.benchmarks.window import Spec
from tests.processes import FAKE, ROOT, Web

PAGES = 50
IDLE_S = 15.0
ARRIVALS_PER_S = 60.0
TEXTS = ["a text with a [MASK] to fill"] * 10
LOGINS = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Permission, User
Store = import_module(settings.SESSION_ENGINE).SessionStore
for number in range(PAGES):
    user = User.objects.create(username=f"staff-{number}", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_live"))
    session = Store()
    backend = "django.contrib.auth.backends.ModelBackend"
    session.update({SESSION_KEY: str(user.pk), BACKEND_SESSION_KEY: backend})
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    print(session.session_key)
"""


async def browse(url: str, sessions: list[str]) -> None:
    """Open a page for each session, say so, and read until stdin ends."""
    pages = [
        await connect(url, additional_headers={"cookie": f"sessionid={session}"}, proxy=None, ping_interval=None)
        for session in sessions
    ]
    frames = [0] * len(pages)

    async def read(number: int) -> None:
        async for _ in pages[number]:
            frames[number] += 1

    readers = [asyncio.create_task(read(number)) for number in range(len(pages))]
    await asyncio.sleep(3)
    print("open", flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.read)
    for reader in readers:
        reader.cancel()
    print(json.dumps({"fewest frames": min(frames), "most": max(frames)}), flush=True)  # noqa: T201
    for page in pages:
        await page.close()


@contextmanager
def open_pages(web: Web, sessions: list[str]) -> Iterator[None]:
    url = web.url.replace("http", "ws") + "/ws/live/"
    command = [sys.executable, "-m", "tests.benchmarks.live_pages", "pages", url]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as browsers:  # fmt: skip
        assert browsers.stdin is not None
        assert browsers.stdout is not None
        browsers.stdin.write(json.dumps(sessions) + "\n")
        browsers.stdin.flush()
        assert browsers.stdout.readline() == "open\n"
        yield
        browsers.stdin.close()
        say(f"    {browsers.stdout.readline().strip()}")


def idle_cores(web: Web) -> float:
    began, (before,) = time.monotonic(), proc.cpu_s([web.pid])
    time.sleep(IDLE_S)
    (after,) = proc.cpu_s([web.pid])
    return (after - before) / (time.monotonic() - began)


def load(web: Web, seconds: float) -> dict[str, float]:
    spec = Spec(
        port=web.port,
        texts=TEXTS,
        tokens=[8] * len(TEXTS),
        sessions=[web.pid],
        clients=8,
        arrivals_per_s=ARRIVALS_PER_S,
        window_s=seconds,
        windows=1,
        cap_s=seconds + 10,
    )
    command = [sys.executable, "-m", "tests.benchmarks.load"]
    ended = subprocess.run(
        command, cwd=ROOT, input=json.dumps(asdict(spec)), capture_output=True, text=True, check=True
    )
    (window,) = json.loads(ended.stdout)["windows"]
    cuts = quantiles(window["latencies_ms"], n=100)
    return {
        "cores under load": window["server_cpu_s"] / window["seconds"],
        "mean ms": fmean(window["latencies_ms"]),
        "p50 ms": cuts[49],
        "p95 ms": cuts[94],
        "p99 ms": cuts[98],
    }


def compare(rounds: int, pages: int) -> None:
    measured: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with processes.web(env=FAKE) as web:
        sessions = manage(web, LOGINS.replace("PAGES", str(pages))).split()
        load(web, 3)
        for number in range(2 * rounds):
            if number % 2:
                with open_pages(web, sessions):
                    measured[True].append({"idle cores": idle_cores(web), **load(web, 10)})
            else:
                measured[False].append({"idle cores": idle_cores(web), **load(web, 10)})
        say(f"{pages} pages, {ARRIVALS_PER_S:g} requests/s, medians of {rounds} rounds")
        for name in measured[True][0]:
            without, with_pages = (median(each[name] for each in measured[on]) for on in (False, True))
            say(f"  {name:18} without {without:9.4f}   with {with_pages:9.4f}   {with_pages / without - 1:+.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--pages", type=int, default=PAGES)
    arguments: Any = parser.parse_args()
    compare(arguments.rounds, arguments.pages)


if __name__ == "__main__":
    if sys.argv[1:2] == ["pages"]:
        asyncio.run(browse(sys.argv[2], json.loads(sys.stdin.readline())))
    else:
        main()
