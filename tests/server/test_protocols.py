"""What Daphne's protocols bound: what a client leaves unread, what it sends, and how fast."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import httpx
import pytest
from twisted.internet.task import Clock
from websockets.sync.client import connect

from inference.server.backpressure import UNWATCHED_BYTES, Backpressure
from inference.server.stalls import LEAST_BYTES_PER_S
from tests import processes
from tests.conftest import CLIENT_S, client
from tests.processes import Redis, Web, Worker

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

STALL_S = 2.0
BIG: dict[str, Any] = {"inputs": [f"number {n} is [MASK]" for n in range(64)], "parameters": {"top_k": 1000}}
"""Its answer has about 5 MB."""


@pytest.fixture(scope="module")
def impatient() -> Iterator[Web]:
    """A server that is quick to cut clients off, with a few pages of its own."""
    env = {"INFERENCE_STALL_S": str(STALL_S), "DJANGO_SETTINGS_MODULE": "tests.unfinished"}
    with processes.web(env=env) as server:
        yield server


def metric(server: Web, line: str) -> float:
    with client(server) as http:
        lines = dict(row.rsplit(" ", 1) for row in http.get("/metrics").text.splitlines() if not row.startswith("#"))
    return float(lines.get(line, 0))


# What is unsent


@pytest.fixture(autouse=True)
def _nobody_stalls() -> None:
    """Before a test: what is stalled counts for the whole process."""
    Backpressure._stalled.clear()


class Transport:
    """Takes nothing until told to."""

    dataBuffer, offset, _tempDataLen = b"", 0, 0

    def write(self, size: int) -> None:
        self._tempDataLen += size

    def take(self, size: int) -> None:
        self._tempDataLen -= size


class Connection:
    def __init__(self, *, stall_s: float = 10.0, most_bytes: int = 10**9) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.unsent = Backpressure(self.clock.callLater, stall_s, most_bytes)
        self.cut_off: list[int] = []

    def write(self, size: int) -> None:
        self.transport.write(size)
        self.unsent.wrote(self.transport, size, self.cut_off.append)

    def advance(self, seconds: int, taking: int = 0) -> None:
        """``taking`` is in bytes per second."""
        for _ in range(seconds):
            self.transport.take(min(taking, self.transport._tempDataLen))
            self.clock.advance(1)


def test_a_client_that_takes_nothing_is_cut_off_in_time() -> None:
    connection = Connection()
    connection.write(UNWATCHED_BYTES + 1)
    connection.advance(9)
    assert not connection.cut_off
    connection.advance(1)
    assert connection.cut_off == [UNWATCHED_BYTES + 1]
    assert not connection.clock.getDelayedCalls()


def test_little_is_nobodys_concern() -> None:
    connection = Connection()
    connection.write(UNWATCHED_BYTES)
    assert not connection.clock.getDelayedCalls()


def test_a_slow_client_that_goes_on_taking_is_kept() -> None:
    connection = Connection()
    connection.write(200 * 1024)
    connection.advance(100, taking=LEAST_BYTES_PER_S)
    assert not connection.cut_off
    connection.advance(100, taking=LEAST_BYTES_PER_S)
    assert not connection.cut_off
    assert not connection.clock.getDelayedCalls(), "it has caught up"


def test_drops_are_no_progress_and_what_is_written_meanwhile_neither() -> None:
    connection = Connection()
    connection.write(200 * 1024)
    for _ in range(11):
        connection.write(5000)
        connection.advance(1, taking=LEAST_BYTES_PER_S // 2)
    assert len(connection.cut_off) == 1


def test_a_short_stall_is_forgiven() -> None:
    connection = Connection()
    connection.write(10**6)
    for _ in range(5):
        connection.advance(6)
        connection.advance(2, taking=50_000)
    assert not connection.cut_off


def test_more_than_the_bound_is_cut_off_at_once_but_one_answer_may_be_larger() -> None:
    connection = Connection(most_bytes=10**6)
    connection.write(5 * 10**6)
    assert not connection.cut_off
    connection.write(1)
    assert connection.cut_off == [5 * 10**6 + 1]
    assert not connection.clock.getDelayedCalls()


def test_a_crowd_that_does_not_read_gets_less_patience() -> None:
    crowd = [Connection() for _ in range(10)]
    for connection in crowd:
        connection.write(2 * 2**20)
        connection.advance(1)

    assert [bool(connection.cut_off) for connection in crowd] == [False] * 9 + [True]


def test_one_is_no_crowd_and_who_takes_something_is_none_of_it() -> None:
    alone = Connection()
    alone.write(30 * 2**20)
    alone.advance(9)
    slow = Connection()
    slow.write(10**6)
    slow.advance(9, taking=2 * LEAST_BYTES_PER_S)

    assert not alone.cut_off
    assert not slow.cut_off


def test_a_socket_that_is_not_read_is_closed_with_a_code(impatient: Web) -> None:
    cut_off = 'inference_slow_readers_total{transport="websocket"}'
    before = metric(impatient, cut_off)
    with closing(deaf_client(impatient)) as deaf:
        deaf.sendall(HANDSHAKE)
        assert b" 101 " in deaf.recv(4096)
        for number in range(6):
            deaf.sendall(text_frame(json.dumps({"type": "infer", "id": str(number), **BIG})))
        impatient.wait_for(lambda: metric(impatient, cut_off) == before + 1, "the client is cut off")
        end, _ = read_to_the_end(deaf)
    with client(impatient) as http:
        assert http.post("/", content="test [MASK]").status_code == 200
        processes.wait_until(lambda: metric(impatient, "inference_pending_inputs") == 0, "all permits are back")

    assert end == b"\x88\x02" + struct.pack("!H", 1008)


HANDSHAKE = (
    b"GET /ws/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


def text_frame(text: str) -> bytes:
    """As a client sends it; masked with zeros, which changes nothing."""
    payload = text.encode()
    length = struct.pack("!BH", 254, len(payload)) if len(payload) < 2**16 else struct.pack("!BQ", 255, len(payload))
    return b"\x81" + length + b"\0\0\0\0" + payload


def deaf_client(server: Web) -> socket.socket:
    """A connection that takes little without being read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    connection.connect(("127.0.0.1", server.port))
    connection.settimeout(CLIENT_S)
    return connection


def read_to_the_end(connection: socket.socket) -> tuple[bytes, bool]:
    """The last four bytes that come, and whether the connection was reset rather than closed."""
    end = b""
    try:
        while chunk := connection.recv(2**20):
            end = (end + chunk)[-4:]
    except ConnectionResetError:
        return end, True
    return end, False


def test_an_answer_that_is_not_read_is_cut_off(impatient: Web) -> None:
    cut_off = 'inference_slow_readers_total{transport="http"}'
    before = metric(impatient, cut_off)
    body = json.dumps(BIG | {"inputs": BIG["inputs"] * 2}).encode()
    with closing(deaf_client(impatient)) as deaf:
        deaf.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        impatient.wait_for(lambda: metric(impatient, cut_off) == before + 1, "the client is cut off")
        assert read_to_the_end(deaf)[1]


def test_a_slow_reader_that_reads_gets_all(impatient: Web) -> None:
    with client(impatient) as http, http.stream("POST", "/", json=BIG) as reply:
        size = 0
        for chunk in reply.iter_raw(chunk_size=2**16):
            size += len(chunk)
            httpx.get(impatient.url + "/health/live", trust_env=False)  # takes a few milliseconds
    assert size == int(reply.headers["content-length"]) > 2 * 10**6


# An answer that breaks off


@pytest.mark.parametrize("path", ["/fails", "/is_cancelled", "/has_a_length"])
def test_a_client_sees_that_an_answer_is_incomplete(impatient: Web, path: str) -> None:
    received: list[bytes] = []
    with client(impatient) as http, http.stream("GET", path) as reply:
        assert reply.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection without sending complete"):
            received.extend(reply.iter_raw())
    assert b"".join(received) == b"a piece"


def test_an_answer_without_any_sign_of_its_end_ends_in_a_reset(impatient: Web) -> None:
    """To a client of HTTP/1.0 the end of the connection is the end of the answer."""
    with closing(socket.create_connection(("127.0.0.1", impatient.port))) as connection:
        connection.settimeout(CLIENT_S)
        connection.sendall(b"GET /fails HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert read_to_the_end(connection)[1]


# Uploads

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def upload_beyond_the_limit(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 200000000\r\nExpect: 100-continue\r\n\r\n")


def upload_and_do_not_listen(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 200000000\r\n\r\n" + b"x" * 2**22)


def upload_in_chunks_without_end(connection: socket.socket) -> None:
    connection.sendall(CHUNKED + b"10000\r\n%s\r\n" % (b"x" * 2**16) + b"10000\r\n%s\r\n" % (b"x" * 2**16) * 20)


def send_a_long_header(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"X-Long: %s\r\n" % (b"x" * 20_000))


def send_many_headers(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"X: y\r\n" * 501 + b"\r\n")


def send_a_long_line(connection: socket.socket) -> None:
    connection.sendall(b"GET /" + b"x" * 20_000)


def send_no_http(connection: socket.socket) -> None:
    connection.sendall(b"hello\r\n\r\n")


def send_two_lengths(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")


def send_chunks_that_are_none(connection: socket.socket) -> None:
    connection.sendall(CHUNKED + b"zz\r\nx\r\n")


def send_a_header_name_that_is_none(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"X(y): z\r\nContent-Length: 0\r\n\r\n")


def fail_a_handshake(connection: socket.socket) -> None:
    connection.sendall(HANDSHAKE.replace(b"Version: 13", b"Version: 99"))


def drip(connection: socket.socket, beginning: bytes) -> None:
    """A byte now and then, until there is an answer."""
    connection.sendall(beginning)
    connection.settimeout(0.2)
    for _ in range(100):
        with suppress(TimeoutError):
            connection.recv(1, socket.MSG_PEEK)
            return
        connection.sendall(b"x")


def drip_a_body(connection: socket.socket) -> None:
    drip(connection, HEAD + b"Content-Length: 1000\r\n\r\n")


def drip_headers(connection: socket.socket) -> None:
    drip(connection, HEAD + b"X-Slow: ")


@pytest.mark.parametrize(
    ("send", "status", "code"),
    [
        (upload_beyond_the_limit, 413, "payload_too_large"),
        (upload_and_do_not_listen, 413, "payload_too_large"),
        (upload_in_chunks_without_end, 413, "payload_too_large"),
        (send_a_long_header, 431, "headers_too_large"),
        (send_many_headers, 431, "headers_too_large"),
        (send_a_long_line, 431, "headers_too_large"),
        (send_no_http, 400, "validation"),
        (send_two_lengths, 400, "validation"),
        (send_chunks_that_are_none, 400, "validation"),
        (send_a_header_name_that_is_none, 400, "validation"),
        (fail_a_handshake, 400, "validation"),
        (drip_a_body, 408, "request_timeout"),
        (drip_headers, 408, "request_timeout"),
    ],
)
def test_what_is_refused_before_the_application_is_answered_and_logged(
    impatient: Web, send: Callable[[socket.socket], None], status: int, code: str
) -> None:
    with closing(socket.create_connection(("127.0.0.1", impatient.port))) as connection:
        send(connection)
        connection.settimeout(CLIENT_S)
        answer = b""
        while chunk := connection.recv(2**16):  # it is closed: the server says so
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (header.split(": ", 1) for header in rest)}

    assert line.split()[1] == str(status)
    assert json.loads(body).keys() == {"error", "error_type"}
    assert json.loads(body)["error_type"] == code
    assert int(headers["content-length"]) == len(body)
    assert headers["x-content-type-options"] == "nosniff"
    row = impatient.row(headers["x-request-id"])
    assert (row["status"], row["code"], row["client"]) == ("refused", code, "127.0.0.1")


def test_a_steady_upload_and_an_idle_connection_are_left_alone(impatient: Web) -> None:
    with closing(socket.create_connection(("127.0.0.1", impatient.port))) as idle:
        idle.settimeout(CLIENT_S)
        upload(idle)
        while not upload_steadily(impatient):
            pass  # something held up this test instead
        upload(idle)


def upload(connection: socket.socket, pause_s: float = 0.0) -> float:
    """A request in parts; returns the longest pause that it took."""
    body = b"[MASK] " + b"x" * 20_000
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
    longest_s, sent_at = 0.0, time.monotonic()
    for start in range(0, len(body), 1500):
        connection.sendall(body[start : start + 1500])
        longest_s, sent_at = max(longest_s, time.monotonic() - sent_at), time.monotonic()
        time.sleep(pause_s)
    with suppress(ConnectionResetError):
        if connection.recv(2**16).startswith(b"HTTP/1.1 200 "):
            return longest_s
    assert longest_s > STALL_S / 2, "it was cut off"
    return longest_s


def upload_steadily(server: Web) -> bool:
    """Whether it was answered; it takes longer than a server waits for one that stalls."""
    with closing(socket.create_connection(("127.0.0.1", server.port))) as connection:
        connection.settimeout(CLIENT_S)
        return upload(connection, STALL_S / 8) < STALL_S / 2


def test_uploads_that_are_half_done_do_not_hold_up_a_stop(redis: Redis, shared_worker: Worker) -> None:
    """It may take ten minutes to answer what was accepted, and does not wait for what was not."""
    with processes.web(redis, {"INFERENCE_DRAIN_S": "600"}) as server, ExitStack() as stack:
        for beginning in (HEAD, HEAD + b"Content-Length: 1000\r\n\r\nhalf", CHUNKED + b"4\r\nha", b"POST", b""):
            connection = stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port))))
            connection.sendall(beginning)
        with client(server) as http:
            assert http.post("/", content="test [MASK]").status_code == 200

        assert server.terminate() == 0
        assert len(server.rows()) == 1
        assert "Traceback" not in server.log()


# Frames


def test_a_frame_that_is_too_large_gets_an_error_and_the_socket_stays(server: Web) -> None:
    with connect(server.socket_url, proxy=None, max_size=None) as connection:
        for size in (2**20 + 1, 5 * 2**20):
            connection.send("x" * size)
            connection.send(["[", "x" * size, "]"])  # a message of three frames
            for expected in (size, size + 2):
                frame = json.loads(connection.recv(CLIENT_S))
                assert (frame["type"], frame["code"]) == ("error", "payload_too_large")
                assert str(expected) in frame["message"]
                assert server.row(frame["request_id"])["code"] == "payload_too_large"
        connection.send(json.dumps({"type": "ping"}))
        assert json.loads(connection.recv(CLIENT_S)) == {"type": "pong"}


def test_answers_above_daphnes_own_limit_are_sent(server: Web) -> None:
    with connect(server.socket_url, proxy=None, max_size=None) as connection:
        connection.send(json.dumps({"type": "infer", "id": "a", **BIG}))
        frames = [connection.recv(CLIENT_S) for _ in range(3)]
        connection.send(json.dumps({"type": "ping"}))
        assert json.loads(connection.recv(CLIENT_S)) == {"type": "pong"}
    assert len(json.loads(frames[-1])["output"]) == 64
    assert len(frames[-1]) > 2**20


# Connections


def test_a_burst_of_connections_waits_in_the_kernel_until_it_is_taken(impatient: Web) -> None:
    """Beyond the listening queue a client hears nothing, and tries again after a second, then after two more."""
    impatient.pause()
    try:
        with ExitStack() as opened:
            for _ in range(200):
                opened.enter_context(socket.create_connection(("127.0.0.1", impatient.port), timeout=0.9))
    finally:
        impatient.resume()
    impatient.wait_until_answers("/health/ready")
