"""A few hundred of what ``python -m tests.soak.fuzz`` sends by the ten thousand."""

from collections.abc import Callable

import pytest

from tests import processes
from tests.conftest import client as open_client
from tests.processes import Web
from tests.soak.fuzz import Http, Socket, fuzz_http, fuzz_websocket

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

EXAMPLES = 150


@pytest.mark.parametrize("fuzz", [fuzz_http, fuzz_websocket])
def test_whatever_comes_is_answered_and_logged(server: Web, fuzz: Callable[[Web, int], Http | Socket]) -> None:
    before = settled(server)
    client = fuzz(server, EXAMPLES)

    assert {outcome.split()[-1] for outcome in client.outcomes} >= {"ok", "validation"}
    asked = len(client.ids)
    assert asked > EXAMPLES / 2
    assert settled(server) == before + asked


def settled(server: Web) -> int:
    """Requests in the log, once all that were counted are there."""
    with open_client(server) as http:
        counted = processes.figure(http.get("/metrics").text, "requests_total")
    processes.wait_until(lambda: logged(server) >= counted, f"{counted:g} requests are in the log")
    assert logged(server) == counted
    return int(counted)


def logged(server: Web) -> int:
    return sum(row["count"] for row in server.rows())
