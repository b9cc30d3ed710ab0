"""More than the server can do: who gets in, what is told to the others, and what never reaches the model."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import connect

from tests import processes
from tests.conftest import CLIENT_S
from tests.processes import WAIT_S, Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TEXT = "test [MASK]"
MakeTexts = Callable[..., list[str]]


@pytest.fixture(scope="module")
def small() -> Iterator[Web]:
    """A server with few permits, whose worker takes at most four batches of eight at once."""
    env = {"INFERENCE_MAX_BATCH_SIZE": "8", "INFERENCE_MAX_PENDING": "96", "INFERENCE_MAX_INPUTS": "64"}
    with processes.web(env=processes.new_hold().env | env) as server:
        yield server


@asynccontextmanager
async def opened(server: Web) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=CLIENT_S) as http:  # noqa: S501
        yield http


async def figure(http: httpx.AsyncClient, name: str) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"inference_{name} "))


async def settled(http: httpx.AsyncClient, name: str, value: float) -> None:
    """Wait until the figure is so much."""
    async with asyncio.timeout(WAIT_S):
        while await figure(http, name) != value:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)


async def test_who_would_wait_for_too_long_is_told_so_at_once(small: Web, make_texts: MakeTexts) -> None:
    """While the model does what was asked before; the deadline is a quarter of what that is predicted to take."""
    texts = make_texts(60, 60, 100)
    async with opened(small) as http:
        assert (await http.post("/", json={"inputs": texts})).status_code == 200  # its speed is known now
        await settled(http, "pending_inputs", 0)
        with small.hold():
            asked = asyncio.create_task(http.post("/", json={"inputs": texts}))
            await settled(http, "pending_inputs", 60)
            whole_s = await figure(http, "predicted_wait_seconds")
            deadline = {"x-request-timeout-seconds": str(whole_s / 4)}
            replies = await asyncio.gather(*(http.post("/", content=TEXT, headers=deadline) for _ in range(8)))
            assert not asked.done()
        assert (await asked).status_code == 200

    assert whole_s > 0
    assert [(reply.status_code, reply.json()["error_type"]) for reply in replies] == [(503, "overloaded")] * 8


async def test_what_is_cancelled_or_too_late_never_reaches_the_model(small: Web, make_texts: MakeTexts) -> None:
    texts = make_texts(48, 20, 30)
    async with opened(small) as http, connect(small.socket_url, proxy=None) as socket:
        await settled(http, "pending_inputs", 0)
        with small.hold(), small.hold.recorded() as ran:
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
            await settled(http, "pending_inputs", 48)  # the permits come back before the model is free
            small.hold.end()
            reply = await asked
            assert (await http.post("/", content="the last [MASK]")).status_code == 200
            assert sorted(ran()) == sorted([*texts, "the last [MASK]"])
        await settled(http, "credit_used", 0)

    assert reply.status_code == 200
    assert statuses <= {503, 504}, "too late, or known to be"
    assert codes.count("cancelled") == 3
    assert {"timeout", "overloaded"} & set(codes)


@pytest.mark.parametrize("seconds", ["1e-9", "0.0001"])
async def test_a_deadline_of_next_to_nothing(small: Web, seconds: str) -> None:
    async with opened(small) as http:
        with small.hold():
            reply = await http.post("/", content=TEXT, headers={"x-request-timeout-seconds": seconds})
            assert (reply.status_code, reply.json()["error_type"]) == (504, "timeout")
            await settled(http, "pending_inputs", 0)
