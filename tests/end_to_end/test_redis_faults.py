"""A Redis that is killed, frozen, emptied, full or cuts its connections, under load: nobody has to restart anything."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from inference.messaging.layer_health import SETTLED_S
from tests import processes
from tests.conftest import CLIENT_S, client
from tests.processes import Process, Redis, Web, Worker, figure, wait_until
from tests.soak.ledger import belongs

pytestmark = pytest.mark.timeout(600)  # the first test waits for the start

DOWN_S = 1.5
FROZEN_S = 3.0
"""Longer than a send may take."""
CLIENTS = 8
TEXT = "test [MASK]"


@dataclass
class Site:
    redis: Redis
    worker: Worker
    web: Web


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Processes of this module alone: the others' Redis stays whole."""
    with (
        processes.redis_server() as redis,
        processes.worker(redis, processes.FAKE, wait=False) as worker,
        processes.web(redis) as web,
    ):
        yield Site(redis, worker, web)


@asynccontextmanager
async def load(site: Site) -> AsyncIterator[Callable[[Callable[[], object]], Awaitable[None]]]:
    """Clients that ask all the time; every one of their requests must get the right answer. Then all is at rest.

    What it gives does something three times, as one outage.
    """
    stopping = asyncio.Event()
    told_before = {process: told(process)[0] for process in (site.web, site.worker)}
    lost_before = site.web.log().count("is lost;")
    outages = 1

    async def three_times(cut: Callable[[], object]) -> None:
        nonlocal outages
        for _ in range(3):
            began = time.monotonic()
            cut()
            await asyncio.sleep(0.3)
            outages += (
                time.monotonic() - began > SETTLED_S / 2
            )  # this test was held up: it may have been one of its own

    async def ask(http: httpx.AsyncClient, number: int) -> int:
        asked = 0
        while not stopping.is_set():
            text = f"client {number} asks [MASK] question {asked}."
            reply = await http.post("/", content=text)
            assert reply.status_code == 200, reply.text
            assert belongs(reply.json(), text)
            asked += 1
            await asyncio.sleep(0.02)
        return asked

    async with httpx.AsyncClient(base_url=site.web.url, trust_env=False, timeout=CLIENT_S) as http:
        clients = [asyncio.create_task(ask(http, number)) for number in range(CLIENTS)]
        await asyncio.sleep(0.2)
        yield three_times
        await asyncio.sleep(0.5)
        stopping.set()
        assert min(await asyncio.gather(*clients)) > 0
    assert site.web.log().count("is lost;") == lost_before, "no worker was taken for dead"
    for process in (site.web, site.worker):
        assert process.running
        assert "Traceback" not in process.log()
    await asyncio.to_thread(wait_until, lambda: at_rest(site.web), "permits and credit are back at zero")
    for process, before in told_before.items():
        await asyncio.to_thread(wait_until, functools.partial(told_to_the_end, process), "the end was told, too")
        assert told(process)[0] - before <= outages, "an outage is two lines of the log, or none"


def told(process: Process) -> tuple[int, int]:
    """Beginnings and ends of outages."""
    log = process.log()
    return log.count("The channel layer fails"), log.count("The channel layer works again")


def told_to_the_end(process: Process) -> bool:
    beginnings, ends = told(process)
    return beginnings == ends


def at_rest(web: Web) -> bool:
    with client(web) as http:
        metrics = http.get("/metrics").text
    return figure(metrics, "pending_inputs") == figure(metrics, "dispatched_jobs") == 0


async def test_killed(site: Site) -> None:
    async with load(site):
        site.redis.kill()
        await asyncio.sleep(DOWN_S)
        site.redis.start()
        await asyncio.to_thread(site.redis.wait_until_ready)


async def test_frozen(site: Site) -> None:
    async with load(site):
        site.redis.pause()
        await asyncio.sleep(FROZEN_S)
        site.redis.resume()


async def test_emptied(site: Site) -> None:
    async with load(site) as three_times:
        await three_times(lambda: expect(site.redis.ask("FLUSHALL"), b"+OK\r\n"))


async def test_full(site: Site) -> None:
    async with load(site):
        assert site.redis.ask("CONFIG SET maxmemory 1") == b"+OK\r\n"
        await asyncio.sleep(DOWN_S)
        assert site.redis.ask("CONFIG SET maxmemory 0") == b"+OK\r\n"


async def test_cut_connections(site: Site) -> None:
    async with load(site) as three_times:
        await three_times(lambda: expect(site.redis.ask("CLIENT KILL TYPE normal"), b":"))


def expect(reply: bytes, beginning: bytes) -> None:
    assert reply.startswith(beginning)


async def test_what_cannot_wait_is_answered_in_time(site: Site) -> None:
    """Also while the layer hangs; the permit is free at once, and the next request finds everything as it was."""
    with client(site.web) as http:
        site.redis.pause()
        try:
            began = time.monotonic()  # Redis comes back only when there is an answer
            late = http.post("/", content=TEXT, headers={"x-request-timeout-seconds": "0.5"})
            took_s = time.monotonic() - began
            pending = http.get("/metrics").text
        finally:
            site.redis.resume()
        after = http.post("/", content=TEXT)

    assert (late.status_code, late.json()["error_type"]) == (504, "timeout")
    assert took_s >= 0.5
    assert figure(pending, "pending_inputs") == 0
    assert after.status_code == 200


async def test_readiness_says_what_is_wrong(site: Site) -> None:
    with client(site.web) as http:
        site.redis.pause()
        try:
            wait_until(lambda: http.get("/health/ready").status_code == 503, "it is not ready")
            reason = http.get("/health/ready").json()["reason"]
            live = http.get("/health/live").status_code
        finally:
            site.redis.resume()
        wait_until(lambda: http.get("/health/ready").status_code == 200, "it is ready again by itself")

    assert "channel layer" in reason
    assert live == 200
