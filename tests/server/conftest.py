from collections.abc import Iterator

import pytest

from tests import processes
from tests.processes import Web
from tests.server.raw import STALL_S

MOST_OF_HOST = 4 * 2**20
"""Bytes of a WebSocket message; Daphne's own limit, which applies to the sockets of the project around ours."""
STRICT = processes.FAKE | {"INFERENCE_STALL_S": str(STALL_S)}


@pytest.fixture(scope="session")
def strict() -> Iterator[Web]:
    """A server that disconnects slow clients early, with some pages whose answers break off."""
    with processes.web(env=STRICT | {"DJANGO_SETTINGS_MODULE": "tests.unfinished"}) as server:
        yield server


class MountedWeb(Web):
    """A server of ``mounted.application``."""

    def __init__(self) -> None:
        database = processes.new_database()
        more = STRICT | {"DJANGO_SETTINGS_MODULE": "inferencesite.settings"}
        super().__init__(processes.environment(None, database, more), database, processes.free_port())
        sizes = [f"--websocket-max-{what}-size={MOST_OF_HOST}" for what in ("message", "frame")]
        self._command[-1:] = [*sizes, "tests.server.mounted:application"]


@pytest.fixture(scope="session")
def mounted() -> Iterator[Web]:
    """A server that disconnects slow clients of our mount early."""
    server = MountedWeb()
    with server.runs(lambda: server.wait_until_answers("/inference/health/ready")):
        yield server
