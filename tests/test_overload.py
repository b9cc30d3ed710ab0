"""More than the server can do: who gets in, what is told to the others, and what never reaches the model."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import connect

from tests import processes
from tests.processes import Web

TEXT = "test [MASK]"
STATUS_S = 1.5
"""Longer than the hello period."""
MakeTexts = Callable[..., list[str]]


@pytest.fixture(scope="module")
def small() -> Iterator[Web]:
    """A server with few permits, and a model that is slow enough to be outrun."""
    env = {"INFERENCE_THREADS": "1", "INFERENCE_MAX_PENDING": "96", "INFERENCE_MAX_INPUTS": "64"}
    with processes.web(env=env) as server:
        yield server


@asynccontextmanager
async def opened(server: Web) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=40) as http:  # noqa: S501
        yield http


async def figure(http: httpx.AsyncClient, name: str) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"inference_{name} "))


async def settled(http: httpx.AsyncClient, name: str, value: float, deadline_s: float = 5.0) -> float:
    """The figure, once it is ``value`` or the deadline has passed."""
    end = time.monotonic() + deadline_s
    while True:
        found = await figure(http, name)
        if found == value or time.monotonic() > end:
            return found
        await asyncio.sleep(0.02)


async def jobs_run(http: httpx.AsyncClient) -> float:
    """As the worker says in a status after now; it says so each second, and when it has nothing to do it stays so."""
    await asyncio.sleep(STATUS_S)
    return await figure(http, "jobs_total")


async def test_who_would_wait_for_too_long_is_told_so_at_once(small: Web, make_texts: MakeTexts) -> None:
    texts = make_texts(60, 60, 100)
    async with opened(small) as http:
        assert (await http.post("/", json={"inputs": texts[:32]})).status_code == 200
        await settled(http, "pending_inputs", 0)
        began = time.monotonic()
        assert (await http.post("/", json={"inputs": texts})).status_code == 200
        whole_s = time.monotonic() - began

        asked = asyncio.create_task(http.post("/", json={"inputs": texts}))
        await settled(http, "pending_inputs", 60)
        began = time.monotonic()
        deadline = {"x-request-timeout-seconds": str(whole_s / 4)}
        replies = await asyncio.gather(*(http.post("/", content=TEXT, headers=deadline) for _ in range(8)))
        took_s = time.monotonic() - began
        assert (await asked).status_code == 200

    for reply in replies:
        assert reply.status_code in (200, 503, 504)
    assert took_s < whole_s / 2


async def test_what_is_cancelled_or_too_late_never_reaches_the_model(small: Web, make_texts: MakeTexts) -> None:
    texts = make_texts(48, 150, 200)
    async with opened(small) as http, connect(small.socket_url, proxy=None) as socket:
        await settled(http, "pending_inputs", 0)
        before = await jobs_run(http)
        asked = asyncio.create_task(http.post("/", json={"inputs": texts}))
        await settled(http, "pending_inputs", 48)

        late = {"x-request-timeout-seconds": "0.05"}
        too_late = [asyncio.create_task(http.post("/", content=TEXT, headers=late)) for _ in range(4)]
        gone = [asyncio.create_task(http.post("/", content=TEXT)) for _ in range(4)]
        for number in range(3):
            await socket.send(json.dumps({"type": "infer", "id": str(number), "inputs": TEXT}))
        await socket.send(json.dumps({"type": "infer", "id": "late", "inputs": TEXT, "timeout_s": 0.05}))
        async with connect(small.socket_url, proxy=None) as closing:
            await closing.send(json.dumps({"type": "infer", "id": "a", "inputs": TEXT}))
            assert json.loads(await closing.recv())["type"] == "accepted"
        for number in range(3):
            await socket.send(json.dumps({"type": "cancel", "id": str(number)}))
        codes: list[str] = []
        while len(codes) < 4:
            frame = json.loads(await socket.recv())
            codes += [frame["code"]] if frame["type"] == "error" else []
        for task in gone:
            task.cancel()
        statuses = {(await task).status_code for task in too_late}
        left = await settled(http, "pending_inputs", 48)
        still_running = not asked.done()
        reply = await asked
        ran = await jobs_run(http) - before
        assert await figure(http, "credit_used") == 0

    assert still_running, "the permits came back before the model was free"
    assert left == 48
    assert reply.status_code == 200
    assert ran == 48
    assert statuses <= {503, 504}, "too late, or known to be"
    assert codes.count("cancelled") == 3
    assert {"timeout", "overloaded"} & set(codes)


@pytest.mark.parametrize("seconds", ["1e-9", "0.0001"])
async def test_a_deadline_of_next_to_nothing(small: Web, seconds: str) -> None:
    async with opened(small) as http:
        began = time.monotonic()
        reply = await http.post("/", content=TEXT, headers={"x-request-timeout-seconds": seconds})
        assert (reply.status_code, reply.json()["error_type"]) == (504, "timeout")
        assert time.monotonic() - began < 1
        assert await settled(http, "pending_inputs", 0) == 0
