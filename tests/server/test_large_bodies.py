"""Large bodies have a limit together, whatever they are for."""

import base64
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import httpx
import pytest

from inference.server.large_bodies import SMALL, LargeBodies
from inference.tasks.media import EXAMPLE_IMAGE
from tests import processes
from tests.conftest import CLIENT_S, client
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)  # the first test waits for its server

MOST = 2**20
IMAGE = base64.b64decode(EXAMPLE_IMAGE)
ANNOUNCED = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    env = {
        "INFERENCE_BACKEND": "inference.testing.backend",
        "INFERENCE_TASK": "image-classification",
        "INFERENCE_MAX_PENDING_BYTES": str(MOST),
    }
    with processes.web(env=env) as web:
        yield web


def opened(server: Web) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.settimeout(CLIENT_S)
    return connection


def announce(connection: socket.socket, size: int) -> None:
    """A body that does not follow. The server has counted it when it asks for it."""
    connection.sendall(ANNOUNCED % size)
    assert connection.recv(12) == b"HTTP/1.1 100"


def post(http: httpx.Client, size: int) -> httpx.Response:
    return http.post("/", content=IMAGE + bytes(size - len(IMAGE)), headers={"content-type": "image/png"})


def test_what_has_no_room_beside_others_is_refused_before_it_is_sent(server: Web) -> None:
    with client(server) as http, ExitStack() as stack:
        for _ in range(2):
            announce(stack.enter_context(closing(opened(server))), MOST // 2)
        reply = post(http, MOST // 2)
        assert (reply.status_code, reply.json()["error_type"], reply.headers["retry-after"]) == (503, "overloaded", "1")
        assert reply.json()["error"] == (
            f"Bodies of {MOST} bytes are received or answered, {MOST} are allowed; try again in 1 s."
        )
        with closing(opened(server)) as chunked:
            chunked.sendall(CHUNKED + b"400\r\n%s\r\n" % bytes(1024))
            assert chunked.recv(12) == b"HTTP/1.1 503"
        assert post(http, SMALL).status_code == 200, "small ones do not count"


def test_there_is_room_again_when_they_are_answered_or_gone(server: Web) -> None:
    with client(server) as http:
        for _ in range(5):
            assert post(http, MOST - 1000).status_code == 200
        with closing(opened(server)) as connection:
            announce(connection, MOST)
            assert post(http, MOST // 2).status_code == 503
        server.wait_for(lambda: post(http, MOST // 2).status_code == 200, "its client has gone")


def test_bodies_that_are_for_no_endpoint_take_no_room_from_those_that_are(server: Web) -> None:
    """Nobody needs a key for them."""
    with client(server) as http, ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(closing(opened(server)))
            connection.sendall(ANNOUNCED.replace(b"POST /", b"POST /nothing") % (MOST // 2))
            assert connection.recv(12) == b"HTTP/1.1 100"
        assert post(http, MOST // 2).status_code == 200


def test_a_single_body_may_have_any_size() -> None:
    bodies = LargeBodies()
    assert bodies.take(100, 10)
    assert not bodies.take(1, 10)
    bodies.give_back(100)
    assert bodies.take(10, 10)
    assert not bodies.take(1, 10)
