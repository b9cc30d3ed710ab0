"""A seed of the simulation is one run, so that a failure can be looked at."""

import os
import subprocess
import sys

PRINTS_ITS_RUN = """
import asyncio, hashlib, logging
import django, pytest
django.setup()
logging.disable(logging.CRITICAL)
from inference.messaging.codec import decode
from tests import simulation, virtual_time
from tests.scheduling import unsteady_clients

class Watched(simulation.FaultyLayer):
    async def send(self, channel, message):
        run.update(f"{asyncio.get_running_loop().time()!r} {channel} {decode(message)!r}".encode())
        await super().send(channel, message)

run = hashlib.sha256()
with pytest.MonkeyPatch.context() as patch:
    simulation.simulate(patch)
    patch.setattr(simulation, "FaultyLayer", Watched)
    patch.setattr(unsteady_clients, "CLIENTS", 100)
    virtual_time.run(unsteady_clients.check_random_faults(3, ("default", "other", "third")), limit_s=2000)
print(run.hexdigest())
"""


def test_the_same_seed_is_the_same_run_in_every_process():
    """Every message, and when it is sent, whatever the order of sets of strings and objects is there."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PRINTS_ITS_RUN],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = (run.communicate()[0] for run in runs)
    assert first
    assert first == second
