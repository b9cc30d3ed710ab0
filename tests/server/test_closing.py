import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import httpx
import pytest

from tests import processes
from tests.conftest import CLIENT_S, client
from tests.processes import Web
from tests.server.raw import CHUNKED, HEAD

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start


def test_uploads_that_are_half_done_do_not_hold_up_a_stop() -> None:
    """A drain may take ten minutes for accepted requests, and waits for no others."""
    with processes.web(env=processes.FAKE | {"INFERENCE_DRAIN_S": "600"}) as server, ExitStack() as stack:
        for beginning in (HEAD, HEAD + b"Content-Length: 1000\r\n\r\nhalf", CHUNKED + b"4\r\nha", b"POST", b""):
            connection = stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port))))
            connection.sendall(beginning)
        with client(server) as http:
            assert http.post("/", content="test [MASK]").status_code == 200

        assert server.terminate() == 0
        assert len(server.rows()) == 1
        assert "Traceback" not in server.log()


def test_a_server_that_stops_leaves_an_inherited_socket_to_others() -> None:
    """As systemd keeps one open for the servers that it starts: a restart refuses no connection."""
    held = processes.new_hold()
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        ThreadPoolExecutor() as threads,
        processes.web(env=held.env, listening=listening) as old,
        client(old) as before,
        client(old) as during,
        held(),
    ):
        accepted = threads.submit(before.post, "/", content="test [MASK]")
        old.wait_for(lambda: held.holds(old.pid), "the model has the request")
        assert during.get("/health/live").status_code == 200
        old.signal(signal.SIGTERM)
        old.wait_for(lambda: during.get("/health/ready").status_code == 503, "it drains")
        waiting = threads.submit(httpx.post, old.url, content="test [MASK]", timeout=CLIENT_S, trust_env=False)
        with processes.web(env=processes.FAKE, listening=listening) as new:
            assert waiting.result().status_code == 200
            held.end()
            assert accepted.result().status_code == 200
            assert old.wait() == 0
            with client(new) as after:
                assert after.post("/", content="test [MASK]").status_code == 200


def test_a_stop_may_close_the_port_first_and_accept_what_was_sent_before() -> None:
    """So that a proxy with another web process refuses no request."""
    hold = processes.new_hold()
    env = hold.env | processes.FAKE | {"INFERENCE_DRAIN_PORT": "closed", "INFERENCE_DRAIN_S": "600"}
    with processes.web(env=env) as server, ThreadPoolExecutor() as clients:

        def ask() -> int:
            with client(server) as http:
                return http.post("/", content="test [MASK]").status_code

        with hold():
            accepted = clients.submit(ask)
            processes.wait_until(lambda: pending(server) == 1, "it is accepted")
            server.pause()
            with closing(socket.create_connection(("127.0.0.1", server.port))) as connection:
                connection.sendall(HEAD + b"Content-Length: 11\r\n\r\ntest [MASK]")
                server.signal(signal.SIGTERM)
                server.resume()
                processes.wait_until(lambda: not listens(server), "it listens no more")
                assert server.running
                hold.end()
                connection.settimeout(CLIENT_S)
                assert connection.recv(2**16).startswith(b"HTTP/1.1 200 ")
            assert accepted.result() == 200
        assert server.wait() == 0
        assert [row["code"] for row in server.rows()] == ["", ""]


def pending(server: Web) -> float:
    with client(server) as http:
        return processes.figure(http.get("/metrics").text, "pending_inputs")


def listens(server: Web) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.port)):
            return True
    except ConnectionRefusedError:
        return False
