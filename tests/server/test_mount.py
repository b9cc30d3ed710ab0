"""Below a prefix, beside a project of its own: what is refused there, and that Daphne is as ever everywhere else."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from inference.server import early_refusal, mount
from tests.conftest import CLIENT_S, client
from tests.processes import Web
from tests.server.conftest import MOST_OF_HOST
from tests.server.raw import BIG, HANDSHAKE, STALL_S, read_to_the_end, slow_client
from tests.server.test_early_refusal import request

TWO_MIB = 2 * 2**20
LARGE = 32 * 2**20


@pytest.fixture
def prefix() -> Iterator[str]:
    early_refusal._endpoints.cache_clear()
    mount.use("/inference")
    yield "/inference"
    mount.use("")
    early_refusal._endpoints.cache_clear()


@pytest.mark.parametrize("target", ["/", "/inference/", "/upload", "*", ""])
def test_at_the_root_every_request_is_ours(target: str) -> None:
    assert mount.is_ours(target)


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("/inference", "/"),
        ("/inference/", "/"),
        ("/inference?a=/b", "/"),
        ("/inference/v1/models", "/v1/models"),
        ("/%69nference/v1%2Fmodels?a", "/v1/models"),
        ("/app/inference/v1/", "/v1/"),
    ],
)
def test_below_the_prefix_a_request_is_ours(prefix: str, target: str, local: str) -> None:
    root_path = "/app/" if target.startswith("/app") else ""
    assert mount.is_ours(target, root_path)
    assert mount.local_path(target, root_path) == local


@pytest.mark.parametrize(
    "target",
    ["/", "*", "", "/inferences", "/upload?/inference/", "/x/inference/", "/app/inference/", "http://a/inference/"],
)
def test_every_other_request_is_not(prefix: str, target: str) -> None:
    assert not mount.is_ours(target)


def test_early_refusal_is_for_endpoints_below_the_prefix(prefix: str) -> None:
    for path in (b"/inference/", b"/inference/pipelines/default", b"/inference/pipelines/default/"):
        assert early_refusal.read(request(start=b"POST " + path + b" HTTP/1.1"), most_body_bytes=1000)
    for other in (request(), request(start=b"POST /pipelines/default HTTP/1.1")):
        assert not early_refusal.read(other, most_body_bytes=1000)


@contextmanager
def connected(server: Web) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", server.port))) as connection:
        connection.settimeout(CLIENT_S)
        yield connection


def ask(server: Web, data: bytes) -> tuple[bytes, bytes]:
    """Status line and body of the answer, after which the server closes the connection."""
    answer = b""
    with connected(server) as connection:
        connection.sendall(data)
        while chunk := connection.recv(2**16):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.partition(b"\r\n")[0], body


@pytest.mark.timeout(600)  # the first of these waits for the start of the server
class TestHttp:
    def test_a_large_upload_arrives_and_to_our_mount_it_is_refused(self, mounted: Web) -> None:
        body = b"x" * 2_000_000
        with client(mounted) as http:
            for content in (body, iter([body[:1_500_000], body[1_500_000:]])):
                assert http.post("/upload", content=content).content == b"2000000 bytes"
            assert http.post("/inferences", content=body).content == b"2000000 bytes"
            for path in ("/inference/", "/inference/none", "/%69nference/", "/inference/pipelines/default"):
                reply = http.post(path, content=body)
                assert (reply.status_code, reply.json()["error_type"]) == (413, "payload_too_large")
            for path in ("/inference/", "/inference/pipelines/default"):
                assert http.post(path, content=b"test [MASK]").status_code == 200
            assert http.post("/pipelines/default", content=b"test [MASK]").content == b"11 bytes"

    def test_requests_on_one_connection_are_told_apart(self, mounted: Web) -> None:
        size = 2_000_000
        upload = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        ours = upload % (b"/inference/", 11) + b"test [MASK]"
        with connected(mounted) as connection:
            for _ in range(2):
                connection.sendall(upload % (b"/upload", size) + b"x" * size)
                assert connection.recv(2**16).endswith(b"2000000 bytes")
                connection.sendall(ours)
                assert connection.recv(2**16).startswith(b"HTTP/1.1 200 ")
            connection.sendall(upload % (b"/upload", 1) + b"x" + upload % (b"/inference/", size))
            answers = connection.recv(2**16)
            while b"payload_too_large" not in answers:
                answers += connection.recv(2**16)
        assert b"\r\n\r\n1 bytesHTTP/1.1 413 " in answers

    def test_a_slow_upload_is_not_cut_and_to_our_mount_it_is(self, mounted: Web) -> None:
        def drip(path: bytes) -> bytes:
            with connected(mounted) as connection:
                connection.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n" % path)
                for _ in range(20):
                    time.sleep(STALL_S / 10)
                    connection.sendall(b"x")
                return connection.recv(2**16)

        with ThreadPoolExecutor() as threads:
            theirs, ours = threads.map(drip, (b"/upload", b"/inference/"))
        assert theirs.endswith(b"\r\n\r\n20 bytes")
        assert ours.startswith(b"HTTP/1.1 408 ")

    def test_a_download_may_pause_and_an_answer_of_ours_may_not(self, mounted: Web) -> None:
        body = json.dumps(BIG | {"inputs": BIG["inputs"] * 2}).encode()
        with closing(slow_client(mounted)) as host, closing(slow_client(mounted)) as ours:
            host.sendall(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % LARGE)
            ours.sendall(
                b"POST /inference/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            mounted.wait_for(lambda: "A client does not read (http" in mounted.log(), "the client is disconnected")
            assert read_to_the_end(ours)[1]
            time.sleep(STALL_S)
            received = 0
            while received < LARGE:
                received += len(host.recv(2**20)) or pytest.fail("it was cut")

    def test_errors_are_daphnes_and_are_not_logged_as_ours(self, mounted: Web) -> None:
        def refused(path: bytes, header: bytes) -> tuple[bytes, bytes]:
            return ask(
                mounted, b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n\r\n" % (path, header)
            )

        assert refused(b"/upload", b"X(y): z") == (b"HTTP/1.1 400 Bad Request", b"")
        assert refused(b"/upload", b"X" * 20_000) == (b"", b"")
        status, page = refused(b"/fails", b"X: y")
        assert (status, b"Exception inside application" in page) == (b"HTTP/1.1 500 Internal Server Error", True)

        for header, code in [(b"X(y): z", 400), (b"X" * 20_000, 431), (b"X: y", 500)]:
            status, body = refused(b"/inference/fails", header)
            assert status.startswith(b"HTTP/1.1 %d " % code)
            assert json.loads(body).keys() == {"error", "error_type"}

        def logged(code: str) -> int:
            return sum(row["count"] for row in mounted.rows("code = ? AND transport = 'http'", code))

        mounted.wait_for(lambda: logged("headers_too_large") and logged("internal"), "these are logged")
        assert (logged("headers_too_large"), logged("internal")) == (1, 1), "the project's came first and are not"

    def test_the_access_log_has_every_other_request(self, mounted: Web) -> None:
        with client(mounted) as http:
            http.get("/access-log")
            http.get("/inference/access-log")
        mounted.wait_for(lambda: '"GET /access-log" 200' in mounted.log(), "the request is logged")
        assert "GET /inference/access-log" not in mounted.log()


@pytest.mark.timeout(600)
class TestWebSocket:
    def test_a_large_message_is_echoed_and_by_our_socket_it_is_refused(self, mounted: Web) -> None:
        url = f"ws://127.0.0.1:{mounted.port}"
        with connect(f"{url}/echo", proxy=None, max_size=None) as host:
            host.send("x" * TWO_MIB)
            assert host.recv(CLIENT_S) == "x" * TWO_MIB
        for size in (TWO_MIB, MOST_OF_HOST + 1):
            with connect(f"{url}/inference/ws/", proxy=None, max_size=None) as ours:
                ours.send("x" * size)
                assert json.loads(ours.recv(CLIENT_S))["code"] == "payload_too_large"
                ours.send(json.dumps({"type": "ping"}))
                assert json.loads(ours.recv(CLIENT_S)) == {"type": "pong"}

    @pytest.mark.parametrize(
        ("frame", "end"),
        [
            (b"\x81\x84\0\0\0\0" + b"4001", b"\x88\x02" + struct.pack("!H", 4001)),
            (b"\x81" + struct.pack("!BQ", 255, MOST_OF_HOST + 1) + b"\0\0\0\0", b""),
        ],
        ids=["the project closes it", "Daphne drops it above its own limit"],
    )
    def test_a_socket_of_the_project_ends_as_under_daphne_alone(self, mounted: Web, frame: bytes, end: bytes) -> None:
        with connected(mounted) as connection:
            connection.sendall(HANDSHAKE.replace(b"/ws/", b"/echo"))
            assert b" 101 " in connection.recv(4096)
            connection.sendall(frame)
            assert read_to_the_end(connection)[0] == end

    def test_a_handshake_that_fails_is_answered_by_daphne(self, mounted: Web) -> None:
        for path in ("/none", "/inference/none"):
            with pytest.raises(InvalidStatus) as refused:
                connect(f"ws://127.0.0.1:{mounted.port}{path}", proxy=None).__enter__()
            assert refused.value.response.status_code == 403
            assert bool(refused.value.response.body) == path.startswith("/inference/")
        for line, code in [(b"GET /echo", b"400"), (b"PUT /echo", b"405"), (b"GET /inference/ws/", b"400")]:
            status, body = ask(mounted, HANDSHAKE.replace(b"GET /ws/", line).replace(b"Version: 13", b"Version: 99"))
            assert status.split()[1] == code
            assert bool(body) == (b"inference" in line)
