"""What Daphne's protocols bound: what a client leaves unread, what it sends, and how fast."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from twisted.internet.task import Clock
from websockets.sync.client import connect

from inferencesite.unsent import LEAST_BYTES_PER_S, UNWATCHED_BYTES, Unsent
from tests import processes
from tests.conftest import client
from tests.processes import Web

pytestmark = pytest.mark.timeout(120)  # the first test that needs a server waits for its start

STALL_S = 2.0
BIG: dict[str, Any] = {"inputs": [f"number {n} is [MASK]" for n in range(64)], "parameters": {"top_k": 1000}}
"""Its answer has about 5 MB."""


@pytest.fixture(scope="module")
def impatient() -> Iterator[Web]:
    """A server that is quick to cut clients off."""
    with processes.web(env={"INFERENCE_STALL_S": str(STALL_S)}) as server:
        yield server


def metric(server: Web, line: str) -> float:
    with client(server) as http:
        lines = dict(row.rsplit(" ", 1) for row in http.get("/metrics").text.splitlines() if not row.startswith("#"))
    return float(lines.get(line, 0))


# What is unsent


class Transport:
    """Takes nothing until told to."""

    dataBuffer, offset, _tempDataLen = b"", 0, 0

    def write(self, size: int) -> None:
        self._tempDataLen += size

    def take(self, size: int) -> None:
        self._tempDataLen -= size


class Connection:
    def __init__(self, *, stall_s: float = 8.0, most_bytes: int = 10**9) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.unsent = Unsent(self.clock.callLater, stall_s, most_bytes)
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
    connection.advance(7)
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
    for _ in range(9):
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


def test_a_socket_that_is_not_read_is_closed_with_a_code(impatient: Web) -> None:
    cut_off = 'inference_slow_readers_total{transport="websocket"}'
    before = metric(impatient, cut_off)
    with closing(deaf_client(impatient)) as deaf:
        deaf.sendall(HANDSHAKE)
        assert b" 101 " in deaf.recv(4096)
        for number in range(6):
            deaf.sendall(text_frame(json.dumps({"type": "infer", "id": str(number), **BIG})))
        impatient.wait_for(lambda: metric(impatient, cut_off) == before + 1, "the client is cut off", 40)
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
    connection.settimeout(20)
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
        impatient.wait_for(lambda: metric(impatient, cut_off) == before + 1, "the client is cut off", 40)
        assert read_to_the_end(deaf)[1]


def test_a_slow_reader_that_reads_gets_all(impatient: Web) -> None:
    with client(impatient) as http, http.stream("POST", "/", json=BIG) as reply:
        size = 0
        for chunk in reply.iter_raw(chunk_size=2**16):
            size += len(chunk)
            httpx.get(impatient.url + "/health/live", trust_env=False)  # takes a few milliseconds
    assert size == int(reply.headers["content-length"]) > 2 * 10**6


# Frames


def test_a_frame_that_is_too_large_gets_an_error_and_the_socket_stays(server: Web) -> None:
    with connect(server.socket_url, proxy=None, max_size=None) as connection:
        for size in (2**20 + 1, 5 * 2**20):
            connection.send("x" * size)
            connection.send(["[", "x" * size, "]"])  # a message of three frames
            for expected in (size, size + 2):
                frame = json.loads(connection.recv(30))
                assert (frame["type"], frame["code"]) == ("error", "payload_too_large")
                assert str(expected) in frame["message"]
                assert server.row(frame["request_id"])["code"] == "payload_too_large"
        connection.send(json.dumps({"type": "ping"}))
        assert json.loads(connection.recv(30)) == {"type": "pong"}


def test_answers_above_daphnes_own_limit_are_sent(server: Web) -> None:
    with connect(server.socket_url, proxy=None, max_size=None) as connection:
        connection.send(json.dumps({"type": "infer", "id": "a", **BIG}))
        frames = [connection.recv(40) for _ in range(3)]
        connection.send(json.dumps({"type": "ping"}))
        assert json.loads(connection.recv(30)) == {"type": "pong"}
    assert len(json.loads(frames[-1])["output"]) == 64
    assert len(frames[-1]) > 2**20
