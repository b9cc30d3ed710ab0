"""More than the server can do: who gets in, what is told to the others, and what never reaches the model."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest
from websockets.asyncio.client import connect

from tests import processes
from tests.conftest import CLIENT_S
from tests.processes import WAIT_S, Web, wait_until

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
    return processes.figure((await http.get("/metrics")).text, name)


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
        await settled(http, "dispatched_jobs", 0)

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


# Refusals of real bytes

BODY = b"test [MASK]"
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nb\r\ntest [MASK]\r\n0\r\n\r\n"


def named(name: str) -> bytes:
    return HEAD + b"X-Request-Id: %s\r\n\r\n" % name.encode() + BODY


def answers(connection: socket.socket, count: int) -> list[tuple[int, dict[str, str]]]:
    """Status and headers of so many answers."""
    found: list[tuple[int, dict[str, str]]] = []
    received = b""
    while len(found) < count:
        head, separator, rest = received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        if separator and len(rest) >= int(headers["content-length"]):
            found.append((int(lines[0].split()[1]), headers))
            received = rest[int(headers["content-length"]) :]
        else:
            chunk = connection.recv(65_536)
            assert chunk, f"the connection ended after {received!r}"
            received += chunk
    return found


def test_whatever_way_its_bytes_come_a_request_is_refused_and_logged(small: Web) -> None:
    with (
        httpx.Client(base_url=small.url, trust_env=False, timeout=CLIENT_S) as http,
        small.hold(),
        ThreadPoolExecutor() as pool,
        socket.create_connection(("127.0.0.1", small.port), timeout=CLIENT_S) as other,
    ):
        asked = []
        for inputs, inside in ((64, 64), (18, 82), (2, 84)):  # 7/8 of the permits, and no more
            asked.append(pool.submit(http.post, "/", json={"inputs": [TEXT] * inputs}))
            wait_until(partial(is_inside, http, inside), "they are inside")
        other.sendall(named("whole"))
        [(status, headers)] = answers(other, 1)
        assert (status, headers["x-request-id"]) == (503, "whole")
        assert int(headers["retry-after"]) >= 1
        data = named("in-parts")
        for byte in range(0, len(data), 7):
            other.sendall(data[byte : byte + 7])
        assert answers(other, 1)[0][0] == 503
        other.sendall(named("two") + named("at-once"))
        assert [status for status, _ in answers(other, 2)] == [503, 503]
        other.sendall(CHUNKED)
        assert answers(other, 1)[0][0] == 503
        small.hold.end()
        assert [reply.result().status_code for reply in asked] == [200, 200, 200]
        other.sendall(named("later"))
        assert answers(other, 1)[0][0] == 200
    for name in ("whole", "in-parts", "two", "at-once"):
        row = small.row(name)
        assert (row["status"], row["code"], row["client"]) == ("refused", "overloaded", "127.0.0.1")
    assert small.row("later")["status"] == "ok"


def is_inside(http: httpx.Client, inputs: int) -> bool:
    return processes.figure(http.get("/metrics").text, "pending_inputs") == inputs
