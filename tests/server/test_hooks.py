import socket
from contextlib import ExitStack

import pytest

from tests.processes import Web


@pytest.mark.timeout(600)  # the first test that needs a server waits for its start
def test_a_burst_of_connections_waits_in_the_kernel_until_they_are_accepted(strict: Web) -> None:
    """Beyond the listening queue a handshake is dropped, and repeated after a second, then after two more."""
    strict.pause()
    try:
        with ExitStack() as opened:
            for _ in range(200):
                opened.enter_context(socket.create_connection(("127.0.0.1", strict.port), timeout=0.9))
    finally:
        strict.resume()
    strict.wait_until_answers("/health/ready")
