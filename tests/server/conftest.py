from collections.abc import Iterator

import pytest

from tests import processes
from tests.conftest import MOUNTED
from tests.processes import Web
from tests.server.raw import PAGE, STALL_S

MOST_OF_HOST = 4 * 2**20
"""Bytes of a WebSocket message; Daphne's own limit, which applies to the sockets of the project around ours."""
STRICT = processes.FAKE | {"INFERENCE_STALL_S": str(STALL_S)}


@pytest.fixture(scope="session")
def strict() -> Iterator[Web]:
    """A server that disconnects slow clients early, with some pages whose answers break off."""
    with processes.web(
        env=STRICT | {"DJANGO_SETTINGS_MODULE": "tests.unfinished", "INFERENCE_CORS_ORIGINS": PAGE}
    ) as server:
        yield server


@pytest.fixture(scope="session")
def mounted() -> Iterator[Web]:
    """A server of ``mounted.application`` that disconnects slow clients of our mount early."""
    sizes = [f"--websocket-max-{what}-size={MOST_OF_HOST}" for what in ("message", "frame")]
    with processes.web(
        env=STRICT | {"DJANGO_SETTINGS_MODULE": "inferencesite.settings"},
        wait_for="/inference/health/ready",
        application=MOUNTED,
        options=sizes,
    ) as server:
        yield server
