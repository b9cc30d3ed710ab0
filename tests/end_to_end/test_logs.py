"""What the processes say on their standard error: one format, one name for a request from the edge to the worker."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from inference.observability import tracing
from tests import processes
from tests.conftest import CLIENT_S, client
from tests.processes import Process, Redis, Web, Worker

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TEXT = "test [MASK]"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
SPAN = re.compile(rf"00-{TRACE_ID}-(?!00f067aa0ba902b7)([0-9a-f]{{16}})-01")


@pytest.fixture(scope="module")
def json_processes(redis: Redis) -> Iterator[tuple[Web, Worker]]:
    env = processes.FAKE | {"DJANGO_LOG_FORMAT": "json", "INFERENCE_LAYER_PREFIX": "logs"}
    debug = env | {"DJANGO_LOG_LEVEL": "DEBUG"}
    with processes.worker(redis, env, wait=False) as worker, processes.web(redis, debug) as web:
        yield web, worker


def records(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log().splitlines()]


def record_of(process: Process, request_id: str, logger: str) -> dict[str, Any]:
    """The one record of this logger about a request."""

    def found() -> list[dict[str, Any]]:
        return [r for r in records(process) if (r.get("request_id"), r["logger"]) == (request_id, logger)]

    processes.wait_until(found, f"{process.name} speaks of request {request_id}")
    (record,) = found()
    return record


def test_every_line_is_json(json_processes: tuple[Web, Worker]) -> None:
    web, worker = json_processes
    with client(web) as http:
        assert http.get("/nowhere").status_code == 404
    for process in json_processes:
        for record in records(process):
            assert record.keys() >= {"time", "level", "logger", "message"}
    loggers = {record["logger"] for record in records(web)}
    assert loggers >= {"inference.scheduling.dispatcher", "daphne.access", "daphne.server", "django.request"}
    assert "inference.worker.pipeline_worker" in {record["logger"] for record in records(worker)}


def test_a_request_has_one_name_from_the_edge_to_the_worker(json_processes: tuple[Web, Worker]) -> None:
    web, worker = json_processes
    with client(web) as http:
        reply = http.post("/", content=TEXT, headers={"x-request-id": "client-7.a_B", "traceparent": TRACEPARENT})

    assert reply.headers["x-request-id"] == "client-7.a_B"
    span = SPAN.fullmatch(reply.headers["traceparent"])
    assert span
    edge = record_of(web, "client-7.a_B", "inference.requests")
    job = record_of(worker, "client-7.a_B", "inference.jobs")
    for record in (edge, job):
        assert (record["level"], record["trace_id"], record["span_id"]) == ("INFO", TRACE_ID, span[1])
        assert record["batch_size"] == 1
    assert (edge["status"], edge["transport"], edge["client"]) == ("ok", "http", "127.0.0.1")
    assert edge["total_ms"] >= edge["inference_ms"] > 0
    assert web.row("client-7.a_B")["status"] == "ok"
    assert TEXT not in web.log() + worker.log(), "what clients send is theirs"


def test_a_refusal_is_traced_too(json_processes: tuple[Web, Worker]) -> None:
    web, _ = json_processes
    with client(web) as http:
        reply = http.post("/", content="no mask", headers={"traceparent": TRACEPARENT})

    record = record_of(web, reply.headers["x-request-id"], "inference.requests")
    assert (record["status"], record["code"], record["trace_id"]) == ("refused", "validation", TRACE_ID)
    assert SPAN.fullmatch(reply.headers["traceparent"])


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "né", "a\tb", "../../etc", '"', "%0a"])
def test_ids_that_could_not_stand_in_a_log_are_replaced(http: httpx.Client, given: str) -> None:
    reply = http.post("/", content=TEXT, headers=[(b"x-request-id", given.encode())])

    assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["x-request-id"])
    assert "traceparent" not in reply.headers


def test_requests_of_a_socket_are_traced(json_processes: tuple[Web, Worker]) -> None:
    web, worker = json_processes
    other = TRACEPARENT.replace("4bf9", "5bf9")
    with connect(web.socket_url, proxy=None, additional_headers={"traceparent": TRACEPARENT}) as socket:
        for client_id, more in (("a", {}), ("b", {"traceparent": other}), ("c", {"traceparent": "none"})):
            socket.send(json.dumps({"type": "infer", "id": client_id, "inputs": TEXT, **more}))
            accepted, *_ = (json.loads(socket.recv(CLIENT_S)) for _ in range(3))
            trace_id = accepted["traceparent"].split("-")[1]
            assert trace_id == (other.split("-")[1] if client_id == "b" else TRACE_ID)
            assert record_of(worker, accepted["request_id"], "inference.jobs")["trace_id"] == trace_id
            assert record_of(web, accepted["request_id"], "inference.requests")["transport"] == "websocket"


@pytest.mark.parametrize("level", ["loud"])
def test_a_format_that_is_none_stops_the_start(level: str) -> None:
    with processes.web(env={"DJANGO_LOG_LEVEL": level}, wait_for=None) as server:
        assert server.wait() == 1
        assert "DJANGO_LOG_LEVEL is 'loud'; it must be one of INFO, DEBUG" in server.last_line()


# traceparent


@pytest.mark.parametrize(
    "given",
    [
        "",
        None,
        5,
        [TRACEPARENT],
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        f"00-{TRACE_ID}-" + "0" * 16 + "-01",
        "ff" + TRACEPARENT[2:],
        TRACEPARENT.upper(),
        TRACEPARENT[:-1],
        TRACEPARENT + "-more",
        "01" + TRACEPARENT[2:] + "more",
        " " + TRACEPARENT,
        TRACEPARENT + "\n",
    ],
)
def test_what_is_no_traceparent_is_ignored(given: object) -> None:
    assert tracing.child(given) == ""


@pytest.mark.parametrize("given", [TRACEPARENT, "cc" + TRACEPARENT[2:], "cc" + TRACEPARENT[2:] + "-more"])
def test_a_span_of_our_own_in_the_clients_trace(given: str) -> None:
    child = tracing.child(given)
    assert SPAN.fullmatch(child)
    assert tracing.child(given) != child
    assert tracing.fields("r", child) == {"request_id": "r", "trace_id": TRACE_ID, "span_id": child[36:52]}


def test_without_a_trace_there_is_the_id() -> None:
    assert tracing.fields("r", "") == {"request_id": "r"}
