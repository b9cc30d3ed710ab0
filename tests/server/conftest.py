from collections.abc import Iterator

import pytest

from tests import processes
from tests.processes import Web
from tests.server.raw import STALL_S


@pytest.fixture(scope="package")
def strict() -> Iterator[Web]:
    """A server that disconnects slow clients early, with some pages whose answers break off."""
    env = {"INFERENCE_STALL_S": str(STALL_S), "DJANGO_SETTINGS_MODULE": "tests.unfinished"}
    with processes.web(env=env) as server:
        yield server
