import socket
from contextlib import closing
from types import SimpleNamespace
from unittest.mock import Mock

import httpx
import pytest
from twisted.web.test.requesthelper import DummyChannel

from inference.server.http_request import Request
from tests.conftest import CLIENT_S, client
from tests.processes import Web
from tests.server.raw import read_to_the_end

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start


@pytest.mark.parametrize("path", ["/fails", "/is_cancelled", "/has_a_length"])
def test_a_client_sees_that_an_answer_is_incomplete(strict: Web, path: str) -> None:
    received: list[bytes] = []
    with client(strict) as http, http.stream("GET", path) as reply:
        assert reply.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection without sending complete"):
            received.extend(reply.iter_raw())
    assert b"".join(received) == b"a piece"


def test_an_answer_without_any_sign_of_its_end_ends_in_a_reset(strict: Web) -> None:
    """To a client of HTTP/1.0 the end of the connection is the end of the answer."""
    with closing(socket.create_connection(("127.0.0.1", strict.port))) as connection:
        connection.settimeout(CLIENT_S)
        connection.sendall(b"GET /fails HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert read_to_the_end(connection)[1]


def test_a_body_by_http_2_is_read() -> None:
    """Its channel is a stream (``twisted.web._http2.H2Stream``), which has none of our limits."""
    stream = DummyChannel()
    stream.factory = SimpleNamespace(server=Mock())
    request = Request(stream)
    request.gotLength(None)
    with request.content as content:
        request.handleContentChunk(b"a body")
        content.seek(0)
        assert content.read() == b"a body"
