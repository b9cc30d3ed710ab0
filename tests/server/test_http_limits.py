import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from tests.conftest import CLIENT_S, client
from tests.processes import Web
from tests.server import raw
from tests.server.raw import BIG, HANDSHAKE, PAGE, STALL_S, metric, read_to_the_end, slow_client

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

HEAD = raw.HEAD.replace(b"Host:", f"Origin: {PAGE}\r\nHost:".encode())
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def test_a_client_that_does_not_read_its_answer_is_disconnected(strict: Web) -> None:
    slow_readers = 'inference_slow_reader_disconnects_total{transport="http"}'
    before = metric(strict, slow_readers)
    body = json.dumps(BIG | {"inputs": BIG["inputs"] * 2}).encode()
    with closing(slow_client(strict)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        strict.wait_for(lambda: metric(strict, slow_readers) == before + 1, "the client is disconnected")
        assert read_to_the_end(connection)[1]


def test_a_client_that_reads_slowly_gets_all(strict: Web) -> None:
    with client(strict) as http, http.stream("POST", "/", json=BIG) as reply:
        size = 0
        for chunk in reply.iter_raw(chunk_size=2**16):
            size += len(chunk)
            http.get("/health/live")  # takes a few milliseconds
    assert size == int(reply.headers["content-length"]) > 2 * 10**6


def upload_beyond_the_limit(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 200000000\r\nExpect: 100-continue\r\n\r\n")


def upload_without_reading(connection: socket.socket) -> None:
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


REFUSED: dict[Callable[[socket.socket], None], tuple[int, str]] = {
    upload_beyond_the_limit: (413, "payload_too_large"),
    upload_without_reading: (413, "payload_too_large"),
    upload_in_chunks_without_end: (413, "payload_too_large"),
    send_a_long_header: (431, "headers_too_large"),
    send_many_headers: (431, "headers_too_large"),
    send_a_long_line: (431, "headers_too_large"),
    send_no_http: (400, "validation"),
    send_two_lengths: (400, "validation"),
    send_chunks_that_are_none: (400, "validation"),
    send_a_header_name_that_is_none: (400, "validation"),
    fail_a_handshake: (400, "validation"),
    drip_a_body: (408, "request_timeout"),
    drip_headers: (408, "request_timeout"),
}


@pytest.fixture(scope="module")
def refusals(strict: Web) -> dict[Callable[[socket.socket], None], bytes]:
    """All at once: some take as long as the server waits."""

    def refusal(send: Callable[[socket.socket], None]) -> bytes:
        with closing(socket.create_connection(("127.0.0.1", strict.port))) as connection:
            send(connection)
            connection.settimeout(CLIENT_S)
            answer = b""
            while chunk := connection.recv(2**16):  # until the server closes the connection
                answer += chunk
        return answer

    with ThreadPoolExecutor(len(REFUSED)) as threads:
        return dict(zip(REFUSED, threads.map(refusal, REFUSED), strict=True))


@pytest.mark.parametrize("send", REFUSED)
def test_what_is_refused_before_the_application_is_answered_and_logged(
    strict: Web, refusals: dict[Callable[[socket.socket], None], bytes], send: Callable[[socket.socket], None]
) -> None:
    status, code = REFUSED[send]
    head, _, body = refusals[send].partition(b"\r\n\r\n")
    line, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (header.split(": ", 1) for header in rest)}

    assert line.split()[1] == str(status)
    assert json.loads(body).keys() == {"error", "error_type"}
    assert json.loads(body)["error_type"] == code
    assert int(headers["content-length"]) == len(body)
    assert headers["x-content-type-options"] == "nosniff"
    if send not in (send_no_http, send_a_long_line, fail_a_handshake):
        assert headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in headers["access-control-expose-headers"].split(", ")
    row = strict.row(headers["x-request-id"])
    assert (row["status"], row["code"], row["client"]) == ("refused", code, "127.0.0.1")


def test_a_steady_upload_and_an_idle_connection_are_left_alone(strict: Web) -> None:
    with closing(socket.create_connection(("127.0.0.1", strict.port))) as idle:
        idle.settimeout(CLIENT_S)
        upload(idle)
        while not upload_steadily(strict):
            pass  # this test was slow, not the server
        upload(idle)


def upload(connection: socket.socket, pause_s: float = 0.0) -> float:
    """Send a request in parts; returns the longest pause between two of them, in seconds."""
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
    assert longest_s > STALL_S / 2, "it was refused"
    return longest_s


def upload_steadily(server: Web) -> bool:
    """Whether it was answered; it takes longer than a server waits for one that stalls."""
    with closing(socket.create_connection(("127.0.0.1", server.port))) as connection:
        connection.settimeout(CLIENT_S)
        return upload(connection, STALL_S / 8) < STALL_S / 2
