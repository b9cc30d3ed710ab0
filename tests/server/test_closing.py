import socket
from contextlib import ExitStack, closing

import pytest

from tests import processes
from tests.conftest import client
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
