"""The host project behaves as before, under every server, from its first request to its end."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.host.behaviour import observe
from tests.host.site import SERVERS, Site

LIFESPAN = ["lifespan shutdown", "lifespan startup"]
ENDS = {
    "daphne": ["exit function", "thread"],
    "uvicorn": LIFESPAN,  # it ends by the signal
    "hypercorn": ["exit function", *LIFESPAN, "thread"],
}
"""What of the project runs when a server is stopped."""
pytestmark = pytest.mark.timeout(600)


def behaviour(site: Site, name: str, ready: str) -> dict[str, Any]:
    """What clients see, then how the process ends."""
    server, worker = site.server(name), site.worker()
    with worker.runs(lambda: None), server.runs(lambda: server.wait_until_ready(ready)):
        observed = observe(server, server.log)
        observed["exit code"] = server.terminate()
        worker.kill()  # Channels' worker would end with the signal's code
    exceptions = set(re.findall(r"^([\w.]+(?:Error|Exception|Closed\w*)): ", server.log(), re.MULTILINE))
    return observed | {"end": sorted(site.ends.read_text().splitlines()), "exceptions": exceptions}


@pytest.mark.parametrize("name", SERVERS)
def test_the_project_behaves_as_before(make_site: Callable[..., Site], name: str) -> None:
    before, after = make_site("before", 1), make_site("after", 2)
    after.edit()
    with ThreadPoolExecutor() as threads:
        observed = threads.submit(behaviour, after, name, "/inference/health/ready")
        expected = behaviour(before, name, "/ticks/")
    assert observed.result() == expected
    assert expected["upload"][2] == b"2000000 bytes"
    assert expected["chat"] == (2_000_000, "hello", 4001)
    assert expected["end"] == ENDS[name]
