"""An event loop that stands still for longer than the in-memory layer keeps messages and memberships."""

import asyncio
from types import SimpleNamespace

import pytest
from channels.layers import InMemoryChannelLayer

from inference.messaging.layer_health import LayerHealth
from inference.messaging.receiving import receive_forever
from tests import virtual_time
from tests.simulation import SimulatedExecutor, World

EXPIRY_S = 3


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the layer and the model, too."""
    clock = SimpleNamespace(time=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr("channels.layers.time", clock)
    for module in ("host", "loading"):
        monkeypatch.setattr(f"inference.worker.{module}.ThreadExecutor", SimulatedExecutor)


def test_a_receiver_whose_queue_was_dropped_hears_again():
    """A message comes, the loop stands still, and another's send clears what has expired before it is heard."""

    async def scenario():
        layer = InMemoryChannelLayer(expiry=EXPIRY_S)
        heard: list[dict[str, str]] = []
        receiver = asyncio.create_task(receive_forever(layer, "here", heard.append, LayerHealth()))
        await asyncio.sleep(0)
        await layer.send("here", {"type": "lost"})
        virtual_time.stand_still(EXPIRY_S + 0.1)
        await layer.group_send("others", {"type": "any"})
        while not heard:
            await layer.send("here", {"type": "found"})
            await asyncio.sleep(0.05)
        assert heard[0] == {"type": "found"}
        receiver.cancel()

    virtual_time.run(scenario())


def test_the_embedded_worker_is_ready_again_by_itself():
    async def scenario():
        world = World(1, workers=1, layer=InMemoryChannelLayer(expiry=EXPIRY_S, capacity=10_000))
        [web] = world.webs
        assert await world.ask("before", deadline_s=10) == "before"
        known = {worker.id for worker in world.workers}
        for number in range(30):
            asking = [asyncio.create_task(world.ask(f"{number}-{n}", deadline_s=20)) for n in range(6)]
            for _ in range(number):
                await asyncio.sleep(0)
            virtual_time.stand_still(EXPIRY_S + 0.1)
            assert await asyncio.gather(*asking) == [f"{number}-{n}" for n in range(6)]
        assert {view.id for view in web.registry} == known, "no worker was taken for dead"
        assert world.leftovers() == []
        for task in world.workers.values():
            task.cancel()
        await web.stop()

    virtual_time.run(scenario())
