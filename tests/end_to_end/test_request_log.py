"""One row for each request, whatever became of it, in the database of a real server."""

import asyncio
import json
import re
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests import processes
from tests.conftest import CLIENT_S, client
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TEXT = "test [MASK]"


def check_common(row: dict[str, Any], transport: str, pipeline: str = "default", dialect: str = "native") -> None:
    received_at = datetime.fromisoformat(row["received_at"]).replace(tzinfo=UTC)
    assert timedelta() <= datetime.now(UTC) - received_at < timedelta(minutes=1)
    assert (row["transport"], row["dialect"], row["client"], row["pipeline"], row["count"]) == (
        transport,
        dialect,
        "127.0.0.1",
        pipeline,
        1,
    )
    assert row["total_ms"] > 0


# One request, one row


def test_an_answered_request(server: Web, http: httpx.Client) -> None:
    reply = http.post("/", content="test [MASK] \0")

    row = server.row(reply.headers["x-request-id"])
    check_common(row, "http")
    assert (row["status"], row["code"], row["message"]) == ("ok", "", "")
    assert (row["inputs"], row["preview"]) == (1, "test [MASK] \ufffd")
    assert row["times_sent"] == 1
    assert re.fullmatch(r"[0-9a-f]{12}", row["worker"])
    assert row["batch_size"] == int(reply.headers["x-batch-size"])
    assert row["queue_ms"] == pytest.approx(float(reply.headers["x-queue-time"]), abs=0.001)
    assert row["inference_ms"] == pytest.approx(float(reply.headers["x-inference-time"]), abs=0.001)
    assert row["queue_ms"] + row["inference_ms"] <= row["total_ms"]
    assert row["units"] == 4, "two special tokens, and two of the text"
    assert 0 < row["model_ms"] <= row["inference_ms"]
    assert row["total_ms"] == pytest.approx(float(reply.headers["x-total-time"]), abs=0.001)


def test_usage_and_log_agree(server: Web, http: httpx.Client) -> None:
    """Whatever was asked before, and while both are written."""
    asked = [http.post("/", content=TEXT), http.post("/", content="no mask"), http.post("/v1/embeddings", json={})]
    rows = [server.row(reply.headers["x-request-id"]) for reply in asked]
    assert [row["dialect"] for row in rows] == ["native", "native", "openai"]
    with closing(sqlite3.connect(server.database)) as connection:
        connection.execute("BEGIN")
        log = connection.execute(
            "SELECT sum(count), sum((status = 'refused') * count), sum((status = 'ok') * inputs), sum(units) "
            "FROM inference_inferencerequest"
        ).fetchone()
        usage = connection.execute("SELECT sum(requests), sum(refused), sum(inputs), sum(units) FROM inference_usage")
        assert usage.fetchone() == log


def test_a_list(server: Web, http: httpx.Client, make_texts: Callable[..., list[str]]) -> None:
    texts = make_texts(40, 3, 30)

    reply = http.post("/", json={"inputs": texts, "parameters": {"top_k": 1}})

    row = server.row(reply.headers["x-request-id"])
    check_common(row, "http")
    assert (row["status"], row["inputs"], row["preview"]) == ("ok", 40, f"{texts[0]} (+39 more)")
    assert row["batch_size"] == int(reply.headers["x-batch-size"]) > 1


@pytest.mark.parametrize(
    ("request_body", "headers", "status", "inputs"),
    [
        (b"", {}, "refused", 0),
        (b"{", {}, "refused", 0),
        (b"\xff", {}, "refused", 1),
        (b"no mask", {}, "refused", 1),
        (b"[MASK]" + b"x" * 2**20, {}, "refused", 0),
        (json.dumps({"inputs": [TEXT] * 129}).encode(), {}, "refused", 129),
        (json.dumps({"inputs": [TEXT, "[MASK] " + "stone " * 600]}).encode(), {}, "refused", 2),
        (json.dumps({"inputs": TEXT, "parameters": {"top_k": 0}}).encode(), {}, "refused", 1),
        (TEXT.encode(), {"x-request-timeout-seconds": "soon"}, "refused", 0),
        (TEXT.encode(), {"x-request-timeout-seconds": "0.0001"}, "failed", 1),
    ],
)
def test_a_request_that_failed(
    server: Web, http: httpx.Client, request_body: bytes, headers: dict[str, str], status: str, inputs: int
) -> None:
    reply = http.post("/", content=request_body, headers=headers)

    row = server.row(reply.headers["x-request-id"])
    check_common(row, "http")
    assert (row["status"], row["inputs"]) == (status, inputs)
    assert (row["code"], row["message"]) == (reply.json()["error_type"], reply.json()["error"])
    assert (row["queue_ms"], row["inference_ms"], row["batch_size"]) == (None, None, 0)


def test_a_client_that_went_away(server: Web, http: httpx.Client, make_texts: Callable[..., list[str]]) -> None:
    name = f"client {datetime.now(UTC).timestamp()} left. [MASK]"
    body = json.dumps({"inputs": [name, *make_texts(100, 30, 40)]}).encode()
    with server.hold():
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)
            assert http.get("/health/live").status_code == 200  # what was sent before it has been read

        processes.wait_until(lambda: server.rows("preview LIKE ?", f"{name}%"), "the request is in the log")
    (row,) = server.rows("preview LIKE ?", f"{name}%")
    check_common(row, "http")
    assert (row["status"], row["code"], row["inputs"]) == ("cancelled", "cancelled", 101)


@pytest.fixture
def open_socket(server: Web) -> Iterator[ClientConnection]:
    with connect(server.socket_url, proxy=None, max_queue=None) as connection:
        yield connection


def last_frame(connection: ClientConnection) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = json.loads(connection.recv(timeout=CLIENT_S))
        if frame["type"] in ("result", "error"):
            return frame


def test_an_answer_through_a_websocket(server: Web, open_socket: ClientConnection) -> None:
    open_socket.send(json.dumps({"type": "infer", "id": "a", "inputs": [TEXT, TEXT]}))
    result = last_frame(open_socket)

    row = server.row(result["request_id"])
    check_common(row, "websocket")
    assert (row["status"], row["inputs"], row["batch_size"]) == ("ok", 2, result["batch_size"])
    assert row["inference_ms"] == pytest.approx(result["inference_ms"], abs=0.001)


@pytest.mark.parametrize("frame", ["{", '{"type": "infer", "id": "a"}', '{"type": "infer", "inputs": "[MASK]"}'])
def test_a_bad_frame(server: Web, open_socket: ClientConnection, frame: str) -> None:
    open_socket.send(frame)
    error = last_frame(open_socket)

    row = server.row(error["request_id"])
    check_common(row, "websocket", pipeline="")
    assert (row["status"], row["code"], row["message"]) == ("refused", error["code"], error["message"])


# All of them


@pytest.fixture(params=["embedded", "distributed"])
def own_server(request: pytest.FixtureRequest) -> Iterator[Web]:
    redis, env = None, processes.FAKE | processes.new_hold().env
    if request.param == "distributed":
        redis = request.getfixturevalue("redis")
        env = request.getfixturevalue("shared_worker").hold.env
    with processes.web(redis, env, wait_for="/health/live") as server:
        yield server


async def test_after_a_clean_stop_every_request_is_there(own_server: Web, make_texts: Callable[..., list[str]]) -> None:
    """Also refusals beyond 50 a second, which share rows, and what was recorded just before the stop."""
    await asyncio.to_thread(own_server.wait_until_answers, "/health/ready")
    kinds: list[tuple[dict[str, Any], int]] = [
        ({"content": TEXT}, 200),
        ({"json": {"inputs": [TEXT] * 3}}, 200),
        ({"content": "no mask"}, 422),
        ({"content": ""}, 400),
        ({"content": TEXT, "headers": {"x-request-timeout-seconds": "0.0001"}}, 504),
    ]
    requests = kinds * 10 + [kinds[2]] * 200
    limits = httpx.Limits(max_connections=32)
    async with httpx.AsyncClient(base_url=own_server.url, trust_env=False, verify=False, limits=limits) as http:  # noqa: S501
        replies = await asyncio.gather(*(http.post("/", **request, timeout=CLIENT_S) for request, _ in requests))
    cancelled = await asyncio.to_thread(cancel_one, own_server, make_texts(64, 30, 40))
    with client(own_server) as once_more:
        last = once_more.post("/", content=TEXT)

    assert own_server.terminate() == 0

    assert [reply.status_code for reply in replies] == [status for _, status in requests]
    rows = own_server.rows()
    counts = {status: sum(row["count"] for row in rows if row["status"] == status) for status in STATUSES}
    assert counts == {"ok": 21, "refused": 220, "failed": 10, "cancelled": 1}
    in_a_second = Counter(row["received_at"][:19] for row in rows if row["status"] == "refused")
    assert max(in_a_second.values()) <= 2 * (50 + 2), "refusals share rows, by kind; its seconds begin at other moments"
    ids = [row["request_id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert {last.headers["x-request-id"], cancelled} <= set(ids)


async def test_what_is_refused_to_the_very_end_is_there(own_server: Web) -> None:
    """A client that goes on asking is refused until its connection ends; the log is written after that."""
    codes: list[str] = []

    async def ask(http: httpx.AsyncClient) -> None:
        with suppress(httpx.TransportError):
            while True:
                codes.append((await http.post("/", content="")).json()["error_type"])

    async with httpx.AsyncClient(base_url=own_server.url, trust_env=False, verify=False) as http:  # noqa: S501
        asking = asyncio.create_task(ask(http))
        await asyncio.to_thread(processes.wait_until, lambda: codes, "it was asked")
        assert await asyncio.to_thread(own_server.terminate) == 0
        await asking

    rows = own_server.rows()
    logged = Counter({code: sum(row["count"] for row in rows if row["code"] == code) for code in set(codes)})
    assert logged == Counter(codes)


STATUSES = ("ok", "refused", "failed", "cancelled")


def cancel_one(server: Web, texts: list[str]) -> str:
    """Cancels a request after it was accepted; returns its id in the log."""
    with server.hold(), connect(server.socket_url, proxy=None, max_queue=None) as connection:
        connection.send(json.dumps({"type": "infer", "id": "a", "inputs": texts}))
        accepted = json.loads(connection.recv(timeout=CLIENT_S))
        connection.send(json.dumps({"type": "cancel", "id": "a"}))
        assert last_frame(connection)["code"] == "cancelled"
    return str(accepted["request_id"])
