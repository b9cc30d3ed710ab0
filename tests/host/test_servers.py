"""What the host project serves below its prefix, and what depends on the server."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
from websockets.sync.client import connect

from inference.process import single
from tests import processes
from tests.conftest import CLIENT_S
from tests.host.site import PAGE, SERVERS, STALL_S, Server, Site
from tests.processes import figure

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, site: Site) -> Iterator[Server]:
    server = site.server(request.param)
    server.start()
    try:
        server.wait_until_ready("/inference/health/ready")
        yield server
        assert "Traceback" not in server.log()
    finally:
        server.kill()


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=CLIENT_S) as client:
        yield client


def test_the_model_answers(server: Server, http: httpx.Client) -> None:
    assert http.post("/inference/", content="test [MASK]").json()[0]["sequence"] == "test word"
    assert http.post("/inference/", content="no mask").json()["error_type"] == "validation"
    with connect(f"ws://127.0.0.1:{server.port}/inference/ws/", proxy=None) as socket:
        socket.send(json.dumps({"type": "infer", "id": "1", "inputs": "test [MASK]"}))
        while (frame := json.loads(socket.recv(CLIENT_S)))["type"] != "result":
            assert frame["type"] in {"accepted", "started"}
        assert frame["output"][0]["sequence"] == "test word"


def test_a_page_of_an_allowed_origin_may_ask(http: httpx.Client) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "x-mine"}
    for path in ("/inference/", "/inference/pipelines/default", "/inference/none", "/inference/pipelines/none"):
        preflight = http.options(path, headers=asked)
        assert (preflight.status_code, preflight.content) == (204, b""), path
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert preflight.headers["access-control-allow-headers"] == "x-mine"
        answer = http.post(path, content="test [MASK]", headers={"origin": PAGE})
        assert answer.status_code == (404 if path.endswith("none") else 200)
        for reply in (preflight, answer):
            assert reply.headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
    # Hypercorn closes a connection without saying so where the answer is sent before the body has arrived.
    foreign = {"origin": "https://other.example.com", "connection": "close"}
    refused = http.post("/inference/", content="test [MASK]", headers=foreign)
    assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (403, False)
    assert not any(name.startswith("access-control-") for name in http.get("/", headers={"origin": PAGE}).headers)


def test_its_own_views_call_the_model(http: httpx.Client) -> None:
    assert http.get("/guess/", params={"sentence": "test"}).json() == {"word": "word"}
    refused = http.get("/tell/", params={"beginning": "once"})
    assert (refused.status_code, list(refused.json())) == (422, ["error"]), "this model generates no text"


def test_a_large_body_is_refused_in_any_case(http: httpx.Client) -> None:
    assert http.post("/inference/", content=b"x" * 2_000_000).status_code == 413


def test_only_under_daphne_is_a_slow_upload_cut(server: Server) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port))) as connection:
        connection.settimeout(CLIENT_S)
        connection.sendall(b"POST /inference/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n")
        for letter in b"test [MASK]":
            time.sleep(STALL_S / 4)
            connection.sendall(bytes([letter]))
        status = connection.recv(4096).split()[1]
    assert status == (b"408" if server.name == "daphne" else b"200")


@pytest.fixture(scope="module")
def stopped(site: Site) -> dict[str, tuple[list[int], int]]:
    """What requests get that a server has accepted when it is told to stop, and its exit code. All at once."""
    with ThreadPoolExecutor(len(SERVERS)) as threads:
        return dict(zip(SERVERS, threads.map(lambda name: stop(site, site.server(name)), SERVERS), strict=True))


def stop(site: Site, server: Server) -> tuple[list[int], int]:
    accepted = threading.Barrier(3)
    go = site.folder / f"go-{server.port}"

    def ask(path: str) -> int:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=CLIENT_S) as client:
            client.get("/ticks/")
            accepted.wait()
            if path == "/guess/":
                return client.get(path, params={"sentence": f"until {go.name}"}).status_code
            return client.post(path, content=f"until {go.name} [MASK]").status_code

    try:
        server.start().wait_until_ready("/inference/health/ready")
        with ThreadPoolExecutor() as threads:
            asked = [threads.submit(ask, path) for path in ("/guess/", "/inference/")]
            accepted.wait()
            server.wait_for(lambda: in_flight(server) == 2, "both are accepted")
            server.signal(signal.SIGTERM)
            server.wait_for(lambda: not processes.answers(f"{server.url}/inference/health/ready"), "it stops")
            go.touch()
            answers = [each.result() for each in asked]
        return answers, server.wait()
    finally:
        server.kill()


@pytest.mark.parametrize("name", SERVERS)
def test_a_stop_answers_what_was_accepted(stopped: dict[str, tuple[list[int], int]], name: str) -> None:
    """Of both, a view and our mount; the first signal is passed on when the model has answered."""
    assert stopped[name] == ([200, 200], {"daphne": 0, "uvicorn": -signal.SIGTERM, "hypercorn": 0}[name])


def in_flight(server: Server) -> float:
    metrics = httpx.get(f"{server.url}/inference/metrics", trust_env=False, timeout=CLIENT_S).text
    return figure(metrics, "pending_inputs")


def test_a_second_process_of_a_server_is_refused_in_memory(site: Site) -> None:
    server = site.server("uvicorn", "--workers", "2")
    try:
        server.start().wait_until_ready("/inference/health/ready")
        server.wait_for(lambda: f"Cannot serve: {single.REFUSAL}" in server.log(), "it is refused")
    finally:
        server.kill()
