"""What the two ways to run promise: a light web process, loading and draining without losing a request, and an event
loop that batches do not block."""

import asyncio
import gc
import json
import math
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import httpx
import pytest
from websockets import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from inference import infer
from inference.backends.base import BatchedPipeline
from inference.backends.transformers import backend
from inference.messaging.cancellation import cancel_and_wait
from inference.process import web
from inference.worker import watchdog
from tests import processes
from tests.conftest import CLIENT_S, Reference, client
from tests.holding import REPORT_MODULES
from tests.processes import Redis, Web, Worker
from tests.soak.ledger import belongs

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TEXT = "test [MASK]"
TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MODEL_LIBRARIES = ("torch", "tokenizers", "safetensors")


def open_client(server: Web) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=CLIENT_S)  # noqa: S501


@pytest.fixture(params=["embedded", "distributed"])
def own_server(request: pytest.FixtureRequest) -> Iterator[Web]:
    """A server for one test to stop; live. An embedded one does not load before its hold ends; others share the worker.

    It has ten minutes to answer what it accepted.
    """
    drain = {"INFERENCE_DRAIN_S": "600"}
    if request.param == "distributed":
        hold = request.getfixturevalue("shared_worker").hold
        with processes.web(request.getfixturevalue("redis"), hold.env | drain) as server:
            yield server
    else:
        hold = processes.new_hold()
        with hold(), processes.web(env=hold.env | processes.FAKE | drain, wait_for="/health/live") as server:
            yield server


# A light web process


def test_only_the_worker_has_the_model(embedded: Web, distributed: Web, shared_worker: Worker) -> None:
    for server in (embedded, distributed):
        with client(server) as http:
            assert http.post("/", content=TEXT).status_code == 200

    mapped = {process: libraries_of(process) for process in (embedded, shared_worker, distributed)}
    assert mapped[embedded] == mapped[shared_worker] == set(MODEL_LIBRARIES)
    assert mapped[distributed] == set()
    imported = {process: packages_of(process) for process in (embedded, shared_worker, distributed)}
    for process in (embedded, shared_worker):
        assert imported[process] >= {*MODEL_LIBRARIES, "transformers"}
    assert imported[distributed].isdisjoint({*MODEL_LIBRARIES, "transformers"})
    assert "inference" in imported[distributed]
    assert distributed.resident_mb() < 200


def libraries_of(process: processes.Process) -> set[str]:
    """Model libraries whose files are mapped into its memory."""
    files = process.mapped_files()
    return {name for name in MODEL_LIBRARIES if any(name in file for file in files)}


def packages_of(process: processes.Process) -> set[str]:
    """All packages that it has imported, as it reports itself."""
    process.signal(REPORT_MODULES)
    process.wait_for(lambda: process.hold.modules_of(process.pid), "it reports its modules")
    return {name.partition(".")[0] for name in process.hold.modules_of(process.pid) or ()}


# Waiting for a worker


def figure(http: httpx.Client, name: str) -> float:
    return processes.figure(http.get("/metrics").text, name)


PERMITS = 16
LONELY = {
    "INFERENCE_LAYER_PREFIX": "lonely",
    "INFERENCE_MAX_PENDING": str(PERMITS),
    "INFERENCE_MAX_INPUTS": str(PERMITS),
    "INFERENCE_DEADLINE_S": "120",  # a server that had no worker for longer refuses: tests of this module take as long
}


@pytest.fixture(scope="module")
def lonely(redis: Redis) -> Iterator[Web]:
    """A web server without a worker."""
    with processes.web(redis, LONELY, wait_for="/health/live") as server:
        yield server


def test_without_a_worker_requests_wait_for_their_deadline(lonely: Web) -> None:
    with client(lonely) as http:
        with connect_and_infer(lonely):
            names = [(b"x-request-id", b"mine"), (b"traceparent", TRACEPARENT)]
            refused = http.post("/", content=TEXT, headers=names)
            odd = http.post("/", content=TEXT, headers=[(b"x-request-timeout-seconds", b"\xf5")])
            unready = http.get("/health/ready")
        wait_until_free(http)
        late = http.post("/", content=TEXT, headers={"x-request-timeout-seconds": "0.2"})
        wait_until_free(http)

    assert (refused.status_code, refused.json()["error_type"]) == (503, "loading")
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-request-id"] == "mine"
    assert refused.headers["traceparent"].startswith(TRACEPARENT.decode()[:35])
    assert odd.status_code in (422, 503)
    assert unready.status_code == 503
    assert (late.status_code, late.json()["error_type"]) == (504, "timeout")
    assert "worker" in late.json()["error"]
    assert 200 <= float(late.headers["x-total-time"]) < 30_000, "its own deadline, not that of all"


@contextmanager
def connect_and_infer(server: Web) -> Iterator[None]:
    """A client that takes all permits of the server until it leaves."""
    from websockets.sync.client import connect as connect_sync  # noqa: PLC0415

    with connect_sync(server.socket_url, proxy=None) as connection:
        frame = {"type": "infer", "id": "a", "inputs": [TEXT] * PERMITS, "timeout_s": 120}
        connection.send(json.dumps(frame))
        connection.send(json.dumps({"type": "ping"}))
        while json.loads(connection.recv())["type"] != "pong":  # then the frame before it was read, too
            pass
        yield


def wait_until_free(http: httpx.Client) -> None:
    processes.wait_until(lambda: figure(http, "pending_inputs") == 0, "all permits are back")


def test_what_cannot_work_is_refused_at_once(redis: Redis) -> None:
    bad_value = {"INFERENCE_MAX_BATCH_SIZE": "many"}
    contradiction = {"INFERENCE_DEADLINE_S": "100", "INFERENCE_MAX_DEADLINE_S": "50"}
    lonely_worker = {"REDIS_URL": ""}
    with (
        processes.web(env=bad_value, wait_for=None) as one,
        processes.web(env=contradiction, wait_for=None) as two,
        processes.worker(redis, bad_value, wait=False) as three,
        processes.worker(redis, contradiction, wait=False) as four,
        processes.worker(redis, lonely_worker, wait=False) as five,
    ):
        assert [process.wait() for process in (one, two, three, four, five)] == [1] * 5
        for process in (one, three):
            assert "INFERENCE_MAX_BATCH_SIZE is 'many'; it must be" in process.last_line()
        assert "INFERENCE_DEADLINE_S (100) is above INFERENCE_MAX_DEADLINE_S (50)" in two.last_line()
        assert "INFERENCE_DEADLINE_S (100) is above INFERENCE_MAX_DEADLINE_S (50)" in four.log()
        assert "set REDIS_URL" in five.last_line()


# Messages one by one


async def test_spaced_requests_are_all_answered(distributed: Web, reference: Reference) -> None:
    """Each is an envelope of its own, in both directions."""
    texts = [f"number {number} is [MASK]" for number in range(100)]
    async with open_client(distributed) as http:
        asked = []
        for text in texts:
            asked.append(asyncio.create_task(http.post("/", content=text)))
            await asyncio.sleep(0.03)
        replies = await asyncio.gather(*asked)

    assert [reply.status_code for reply in replies] == [200] * len(texts)
    reference.check_all([reply.json() for reply in replies], texts)


IDLE_S = 30.0
"""Longer than every time limit of Redis clients: blocking pops (5 s), reads (15 s)."""


@pytest.mark.last
def test_idle_processes_answer_at_once(
    distributed: Web, shared_worker: Worker, generating_distributed: Web, generating_worker: Worker
) -> None:
    """Those that were asked last the longest ago. What is lost would be sent again."""
    pairs = ((distributed, shared_worker), (generating_distributed, generating_worker))
    asked_at, server, worker = min(
        ((last_asked(server), server, worker) for server, worker in pairs), key=itemgetter(0)
    )
    time.sleep(max(0.0, IDLE_S - (datetime.now(UTC) - asked_at).total_seconds()))
    with client(server) as http:
        reply = http.post("/", content=TEXT)

    assert reply.status_code == 200
    assert server.row(reply.headers["x-request-id"])["times_sent"] == 1
    for process in (server, worker):
        assert "The channel layer fails" not in process.log()


def last_asked(server: Web) -> datetime:
    with client(server) as http:
        if not server.rows():
            assert http.post("/", content=TEXT).status_code == 200
        processes.wait_until(
            lambda: figure(http, "request_log_pending_rows") == 0 and server.rows(), "it is in the log"
        )
    return datetime.fromisoformat(server.rows()[-1]["received_at"]).replace(tzinfo=UTC)


def test_a_worker_whose_model_hangs_ends_itself(redis: Redis) -> None:
    """Rule 9: with a sentence and code 1, so that its supervisor starts another. (The model here hangs at a word.)"""
    env = processes.FAKE | {"INFERENCE_LAYER_PREFIX": "hangs", "INFERENCE_DEADLINE_S": "3"}
    command = [sys.executable, "-m", "tests.soak.faulty_worker"]
    with (
        processes.worker(redis, env, wait=False, command=command) as hanging,
        processes.web(redis, env) as server,
        client(server) as http,
    ):
        reply = http.post("/", content="endless [MASK]")
        assert hanging.wait() == 1
    assert (reply.status_code, reply.json()["error_type"]) == (504, "timeout")
    assert hanging.last_line().endswith("the model hangs.")


# Stopping


async def test_a_web_process_answers_what_it_accepted_while_it_loads_and_while_it_stops(
    own_server: Web, request: pytest.FixtureRequest, make_texts: Callable[..., list[str]]
) -> None:
    embedded, hold = request.node.callspec.params["own_server"] == "embedded", own_server.hold
    texts = make_texts(16, 20, 30)
    async with open_client(own_server) as http, connect(own_server.socket_url, proxy=None, max_queue=None) as socket:
        waiting = await sent(http, [{"inputs": TEXT}])
        loading = await http.get("/health/ready")
        hold.end()
        first = await waiting[0]
        ready = await http.get("/health/ready")

        with hold():
            asked = await sent(http, [{"inputs": texts}] * 10)
            await socket.send(json.dumps({"type": "infer", "id": "a", "inputs": texts}))
            accepted = json.loads(await socket.recv())
            assert (await http.get("/health/live")).status_code == 200  # so everything before it has been read

            own_server.signal(signal.SIGTERM)
            unready = await until_draining(http)
            closed_loops = asyncio.gather(*(ask_until_it_fails(own_server) for _ in range(6)))
            refused = await http.post("/", content=TEXT)
            live = await http.get("/health/live")
            async with connect(own_server.socket_url, proxy=None) as too_late:
                assert await until_closed(too_late) == ([], 1012), "as sockets that were open, not a refused handshake"
            await socket.send(json.dumps({"type": "infer", "id": "late", "inputs": TEXT}))
        replies = await asyncio.gather(*asked)
        frames, close_code = await until_closed(socket)
        turned_away = [reply for replies in await closed_loops for reply in replies]

    assert own_server.wait() == 0
    if embedded:
        assert (loading.status_code, loading.json()["status"]) == (503, "not ready")
        assert "loading" in loading.json()["reason"]
    assert ready.status_code == 200
    assert belongs(first.json(), TEXT)
    assert [reply.status_code for reply in [first, *replies]] == [200] * 11
    assert "stopping" in unready.json()["reason"]
    assert (refused.status_code, refused.json()["error_type"]) == (503, "draining")
    assert int(refused.headers["retry-after"]) >= 1
    assert live.status_code == 200
    assert {reply.headers["connection"] for reply in (unready, refused, live, *turned_away)} == {"close"}
    assert {reply.json()["error_type"] for reply in turned_away} == {"draining"}
    assert {(frame["type"], frame["id"]) for frame in [accepted, *frames]} == {
        ("accepted", "a"),
        ("started", "a"),
        ("result", "a"),
        ("error", "late"),
    }
    assert close_code == 1012
    rows = own_server.rows()
    assert [row["code"] for row in rows if row["code"] != "draining"] == [""] * 12
    assert sum(row["count"] for row in rows) == 12 + 2 + len(turned_away), "what was refused to the end is in the log"
    assert "Traceback" not in own_server.log()


async def ask_until_it_fails(server: Web) -> list[httpx.Response]:
    """A client that asks again whatever it is told. The only end is a port that is closed: no connection is reset."""
    replies = []
    async with open_client(server) as http:
        with suppress(httpx.ConnectError):
            while True:
                replies.append(await http.post("/", content=TEXT))
    return replies


async def sent(http: httpx.AsyncClient, bodies: Sequence[object]) -> list["asyncio.Task[httpx.Response]"]:
    """Start requests, and wait until the last byte of each has been sent."""
    unsent = len(bodies)
    all_sent = asyncio.Event()

    async def trace(event: str, _: object) -> None:
        nonlocal unsent
        unsent -= event == "http11.send_request_body.complete"
        if not unsent:
            all_sent.set()

    asked = [asyncio.create_task(http.post("/", json=body, extensions={"trace": trace})) for body in bodies]
    async with asyncio.timeout(processes.WAIT_S):
        await all_sent.wait()
    return asked


async def until_closed(socket: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """The frames that still come, and the code with which the server closes the socket."""
    frames = []
    try:
        while True:
            frames.append(json.loads(await socket.recv()))
    except ConnectionClosed as closed:
        return frames, closed.rcvd.code if closed.rcvd else 0


async def until_draining(http: httpx.AsyncClient) -> httpx.Response:
    async with asyncio.timeout(processes.WAIT_S):
        while (reply := await http.get("/health/ready")).status_code == 200:
            pass
        return reply


def test_a_stopping_worker_loses_nothing(lonely: Web, redis: Redis, make_texts: Callable[..., list[str]]) -> None:
    """It holds jobs when it is told to stop: one of them is in its model, and the others wait for the next worker."""
    texts, hold = make_texts(PERMITS, 10, 20), processes.new_hold()
    env = hold.env | LONELY | processes.FAKE | {"INFERENCE_MAX_BATCH_SIZE": "1"}
    with processes.worker(redis, env) as worker, client(lonely) as http, ThreadPoolExecutor() as pool:
        lonely.wait_until_answers("/health/ready")
        with hold():
            asked = pool.submit(post_json, http, texts)
            worker.wait_for(lambda: hold.holds(worker.pid), "it has work")
            worker.wait_for(lambda: waiting_at_workers(http), "more of it than runs")
            worker.signal(signal.SIGTERM)
            processes.wait_until(lambda: figure(http, "dispatched_jobs") == 1, "what has not started is given back")
        assert worker.wait() == 0
        assert not asked.done()
        worker.start()
        reply = asked.result()

    assert reply.status_code == 200, reply.text
    for text, answer in zip(texts, reply.json(), strict=True):
        assert belongs(answer, text)
    assert "Traceback" not in worker.log() + lonely.log()
    assert "is lost" not in lonely.log()


def post_json(http: httpx.Client, texts: list[str]) -> httpx.Response:
    return http.post("/", json={"inputs": texts}, headers={"x-request-timeout-seconds": "120"}, timeout=150)


def waiting_at_workers(http: httpx.Client) -> bool:
    """Whether the last status says so."""
    here = PERMITS - figure(http, "dispatched_jobs")
    return figure(http, "queue_depth") > here


async def test_a_cancellation_that_is_swallowed_is_repeated() -> None:
    """As that of a task which sends through redis-py on Python 3.11: stopping would hang."""

    async def deaf_once() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(deaf_once()) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(processes.WAIT_S):
        await cancel_and_wait(tasks)

    assert all(task.cancelled() for task in tasks)


# The event loop


class Measured:
    """The real pipeline; knows how long its batches took."""

    def __init__(self, pipeline: BatchedPipeline, longest_s: list[float]) -> None:
        self._pipeline = pipeline
        self._longest_s = longest_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def run(self, batch: Sequence[Any]) -> Sequence[Any]:
        began = time.monotonic()
        try:
            return self._pipeline.run(batch)
        finally:
            self._longest_s.append(time.monotonic() - began)


@pytest.mark.django_db(transaction=True)
async def test_batches_do_not_block_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, make_texts: Callable[..., list[str]]
) -> None:
    """64 clients, worker and a probe on one loop, as in an embedded server. A machine that is slow or busy holds up
    batches as well as the loop (on a GPU it would not: the model is on the CPU); and what the loop does itself is
    measured in CPU time, and in what Python takes."""
    real_load, batches_s = backend.load, list[float]()
    monkeypatch.setattr(
        backend, "load", lambda given, *to: Measured(real_load(replace(given, device="cpu"), *to), batches_s)
    )
    monkeypatch.setattr(web, "_current", None)
    for limit in ("USUAL_LIMIT_S", "SHORTEST_LIMIT_S"):
        monkeypatch.setattr(watchdog, limit, 600.0)  # the machine is slow; no model hangs here
    process = web.start(pytest.fail)
    try:
        await infer(TEXT)  # waits until the model is loaded
        gc.collect()
        gc.freeze()  # as a server does (inference.server.hooks): a full collection would count as work of the loop
        batches_s.clear()
        lag_s, _ = await longest_lag_s(make_texts(64, 120, 150))
        batch_s = max(batches_s)
        # What else is due in a turn of the loop differs between rounds; what an answer takes does not.
        busy_s, counts_s = math.inf, list[float]()
        for _ in range(4):
            busy_s = min(busy_s, (await longest_lag_s(make_texts(192, 5, 12)))[1])
            counts_s += [count_s() for _ in range(5)]
    finally:
        gc.unfreeze()
        await process.drain()

    assert lag_s < batch_s / 10
    assert busy_s < 20 * statistics.median(counts_s)


def count_s() -> float:
    """CPU time of a few milliseconds' work, more on a slower machine."""
    began = time.thread_time()
    for _ in range(100_000):
        pass
    return time.thread_time() - began


async def longest_lag_s(texts: list[str]) -> tuple[float, float]:
    """By how much a timer was late, and for how long the loop was busy with other things; the longest of each."""
    clock = asyncio.get_running_loop().time
    lags: list[float] = []
    busy: list[float] = []

    async def probe() -> None:
        while True:
            slept_at, busy_at = clock(), time.thread_time()
            await asyncio.sleep(0.005)
            lags.append(clock() - slept_at - 0.005)
            busy.append(time.thread_time() - busy_at)

    async def be_client(own: list[str]) -> list[Any]:
        return [await infer(text, deadline_s=CLIENT_S) for text in own]

    probing = asyncio.create_task(probe())
    answers = await asyncio.gather(*(be_client(texts[number::64]) for number in range(64)))
    probing.cancel()
    assert sum(map(len, answers)) == len(texts)
    return max(lags), max(busy)
