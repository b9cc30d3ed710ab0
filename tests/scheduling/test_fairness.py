"""Greedy and modest clients of one web process, in virtual time, through admission, dispatcher and worker."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence

import pytest

from inference.errors import InferenceError, Overloaded
from inference.scheduling.admission import Admission
from inference.scheduling.calls import Peer, Work
from tests import virtual_time
from tests.simulation import BATCH_S, World, simulate

PERMITS = 64
CAPACITY = 4 / BATCH_S
"""Jobs per second of one worker with batches of four."""


@pytest.fixture(autouse=True)
def _simulated(monkeypatch):
    simulate(monkeypatch)


class Server:
    """One web process with few permits and one worker."""

    def __init__(self) -> None:
        self.world = World(1, workers=1, max_batch_size=4, max_pending=PERMITS)
        self.admission = Admission(self.world.webs[0].pipelines["default"], self.world.conf)
        self.answered: Counter[Peer] = Counter()
        self._clock = asyncio.get_running_loop().time

    async def ask(self, peer: Peer, inputs: Sequence[str], deadline_s: float = 30.0) -> None:
        """Raises the error that a client would get."""
        now = self._clock()
        with self.admission.permits(len(inputs), peer, deadline_s):
            work = Work(
                request_id="r", inputs=inputs, parameters={}, admitted_at=now, deadline_at=now + deadline_s, peer=peer
            )
            await self.world.webs[0].run(work)
            self.answered[peer] += len(inputs)

    async def keep_asking(self, peer: Peer, inputs: int, deadline_s: float = 30.0) -> None:
        """Send again at once, without regard to ``Retry-After``."""
        while True:
            try:
                await self.ask(peer, ["t"] * inputs, deadline_s)
            except InferenceError:
                await asyncio.sleep(0.02)

    async def waits(self, peer: Peer, times: int) -> list[tuple[int, float]]:
        """A client that obeys ``Retry-After``, one input at a time: refusals before each answer, and seconds in all."""
        found = []
        for _ in range(times):
            began = self._clock()
            for refused in itertools.count():
                try:
                    await self.ask(peer, ["t"])
                except Overloaded as error:
                    await asyncio.sleep(error.retry_after_s or 0)
                else:
                    found.append((refused, self._clock() - began))
                    break
        return found


def greedy(kind: str) -> list[tuple[Peer, int]]:
    """Clients, and how many inputs each sends at once."""
    match kind:
        case "lists from one address":
            return [(Peer("hog", n), 16) for n in range(8)]
        case "lists from many addresses":
            return [(Peer(f"hog{n}", 0), 16) for n in range(8)]
        case "many requests on one connection":
            return [(Peer("hog", 0), 1)] * 100
        case _:
            return [(Peer("hog", n), 1) for n in range(100)]


@pytest.mark.parametrize(
    ("kind", "modest"),
    [
        ("lists from one address", Peer("hog", 99)),  # behind the same proxy
        ("lists from one address", Peer("modest")),
        ("lists from many addresses", Peer("modest")),
        ("many requests on one connection", Peer("hog", 99)),
        ("many connections", Peer("modest")),
    ],
)
def test_greedy_clients_do_not_starve_a_modest_one(kind: str, modest: Peer):
    async def scenario():
        server = Server()
        await server.world.settle(2)
        hogs = [asyncio.create_task(server.keep_asking(peer, inputs)) for peer, inputs in greedy(kind)]
        await asyncio.sleep(1.5)
        before = server.answered.total()
        began = asyncio.get_running_loop().time()
        waits = await server.waits(modest, 6)
        seconds = asyncio.get_running_loop().time() - began
        for hog in hogs:
            hog.cancel()
        assert max(refused for refused, _ in waits) <= 1
        assert max(wait for _, wait in waits) <= 4
        assert server.answered.total() - before >= 0.9 * CAPACITY * seconds, "the room that is kept costs little"

    virtual_time.run(scenario())


def test_admitted_requests_are_answered_in_time():
    """Ten times the capacity, with a deadline that is exceeded before the permits are used up."""

    async def scenario():
        server = Server()
        await server.world.settle(2)
        outcomes: Counter[str] = Counter()

        async def client(number: int) -> None:
            try:
                await server.ask(Peer("a", number), ["t"], deadline_s=0.5)
            except InferenceError as error:
                outcomes[error.code] += 1
            else:
                outcomes["ok"] += 1

        async with asyncio.TaskGroup() as clients:
            for number in range(int(10 * CAPACITY) * 5):
                clients.create_task(client(number))
                await asyncio.sleep(0.1 / CAPACITY)
        assert outcomes["ok"] >= 0.95 * CAPACITY * 5
        assert outcomes["timeout"] <= 0.01 * outcomes["overloaded"]

    virtual_time.run(scenario())
