import json
import struct
from contextlib import closing

import pytest
from websockets.sync.client import connect

from tests import processes
from tests.conftest import CLIENT_S, client
from tests.processes import Web
from tests.server.raw import BIG, HANDSHAKE, metric, read_to_the_end, slow_client, text_frame

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TOO_SLOW = b"\x88\x02" + struct.pack("!H", 1008)
"""The frame that closes a socket with this code."""
CLOSE_REPLY = b"\x88\x82\0\0\0\0" + struct.pack("!H", 1008)
"""The client's reply to it, masked with zeros."""


def test_a_socket_that_is_not_read_is_closed_with_a_code(strict: Web) -> None:
    slow_readers = 'inference_slow_reader_disconnects_total{transport="websocket"}'
    before = metric(strict, slow_readers)
    with closing(slow_client(strict)) as connection:
        connection.sendall(HANDSHAKE)
        assert b" 101 " in connection.recv(4096)
        for number in range(6):
            connection.sendall(text_frame(json.dumps({"type": "infer", "id": str(number), **BIG})))
        strict.wait_for(lambda: metric(strict, slow_readers) == before + 1, "the client is disconnected")
        end = b""
        while end != TOO_SLOW:
            end = (end + (connection.recv(2**20) or pytest.fail("it was closed without a code")))[-4:]
        connection.sendall(CLOSE_REPLY)  # or the server would wait for it for some seconds
        assert read_to_the_end(connection)[0] == b"", "something comes after it"
    with client(strict) as http:
        assert http.post("/", content="test [MASK]").status_code == 200
        processes.wait_until(
            lambda: metric(strict, 'inference_pending_inputs{pipeline="default"}') == 0, "all permits are back"
        )


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
