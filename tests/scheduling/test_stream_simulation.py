"""Streams under simulated faults: every token is delivered once, in order (rule 12).

The rules by number are those of docs/architecture.md, section "The protocol between web and worker". The layer and the
model are simulated, the rest is real.
"""

import asyncio
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from inference.backends.base import Generated
from inference.messaging.codec import decode
from inference.messaging.messages import Job, Replies, Submit, Token
from inference.scheduling.calls import Answer, Events, Superseded, Work
from tests import virtual_time
from tests.simulation import BATCH_S, SimulatedModel, World, simulate

STEP_S = BATCH_S
TOKENS = 40


def word(text: str, index: int) -> str:
    return f" {text}{index}"


def whole(text: str) -> str:
    return "".join(word(text, index) for index in range(TOKENS))


@dataclass(eq=False)
class Writing:
    job: Job
    at: int
    tokens: int = 3
    longest: int = 3
    sequences: int = 1


class SimulatedWriter(SimulatedModel):
    """Generates one token of each text per step. The tokens depend on the input alone."""

    def prepare(self, jobs: Sequence[Job]) -> list[Any]:
        return [Writing(job, len(job.resume)) for job in jobs]

    def cache_tokens(self, prepared: Collection[Writing]) -> int:
        return len(prepared)

    def retain(self, prepared: Collection[Writing]) -> None:
        pass

    def step_tokens(self, prepared: Sequence[Writing], prompt_tokens: int | None = None) -> int:
        return len(prepared)

    def step(self, prepared: Sequence[Writing], prompt_tokens: int | None = None) -> list[Generated]:
        return [self._next(writing) for writing in prepared]

    def _next(self, writing: Writing) -> Generated:
        index, text = writing.at, writing.job.input
        writing.at += 1
        made = Generated(index=index, token=1000 + index, text=word(text, index), logprob=-0.5, special=False)
        return made if writing.at < TOKENS else replace(made, finish_reason="length", output=whole(text).encode())


@pytest.fixture(autouse=True)
def _simulated_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch)
    monkeypatch.setattr("tests.simulation.SimulatedModel", SimulatedWriter)


class Listener:
    """A client and what it received."""

    def __init__(self, world: World, text: str, deadline_s: float = 60.0) -> None:
        self.text = text
        self.tokens: list[Token] = []
        self._more = asyncio.Event()
        now = asyncio.get_running_loop().time()
        work = Work(request_id=text, inputs=[text], parameters={}, admitted_at=now, deadline_at=now + deadline_s)
        self.task = asyncio.create_task(world.webs[0].run(work, Events(token=self._hear)))

    def _hear(self, _: int, token: Token) -> None:
        self.tokens.append(token)
        self._more.set()

    async def heard(self, count: int) -> None:
        while len(self.tokens) < count:
            self._more.clear()
            await self._more.wait()

    async def check(self) -> None:
        [answer] = await self.task
        assert isinstance(answer, Answer)
        assert answer.result.generation is not None
        assert answer.result.generation.last is not None
        told = [*self.tokens, answer.result.generation.last]
        assert [token.index for token in told] == list(range(TOKENS))
        assert "".join(token.text for token in told) == whole(self.text) == answer.result.output.decode()


def test_tokens_come_one_by_one_and_in_order():
    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        listeners = [Listener(world, f"t{n}") for n in range(3)]
        await asyncio.sleep(5 * STEP_S)
        assert 2 <= len(listeners[0].tokens) <= 5
        await asyncio.gather(*(listener.check() for listener in listeners))
        await world.settle(3)
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_no_tokens_are_sent_for_a_request_that_does_not_stream():
    """There is nothing to resume from either."""

    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        assert await world.ask("t") == whole("t")

    virtual_time.run(scenario())


def test_a_stream_continues_after_its_worker_is_killed():
    async def scenario():
        world = World(1, workers=2)
        await world.settle(2)
        listeners = [Listener(world, f"t{n}") for n in range(4)]
        await asyncio.sleep(20 * STEP_S)
        known = [len(listener.tokens) for listener in listeners]
        assert all(0 < count < TOKENS - 1 for count in known)
        for worker in list(world.workers):
            world.kill(worker)
        world.start_worker()
        messages = watch(world)
        await asyncio.gather(*(listener.check() for listener in listeners))
        assert sorted(resumes(messages)) == sorted(known)

    virtual_time.run(scenario())


def watch(world: World) -> list[Any]:
    """All messages sent from now on."""
    seen: list[Any] = []
    sent = world.layer.send

    async def send(channel: str, message: dict[str, Any]) -> None:
        seen.append(decode(message))
        await sent(channel, message)

    world.layer.send = send  # type: ignore[method-assign]
    return seen


def resumes(messages: list[Any]) -> list[int]:
    """How many known tokens each submitted job carries."""
    return [len(job.resume) for message in messages if isinstance(message, Submit) for job in message.jobs]


def test_tokens_of_a_step_travel_together():
    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        listeners = [Listener(world, f"t{n}") for n in range(4)]
        await asyncio.sleep(5 * STEP_S)
        messages = watch(world)
        await asyncio.gather(*(listener.check() for listener in listeners))
        sizes = [len(message.entries) for message in messages if isinstance(message, Replies)]
        assert len(sizes) <= TOKENS
        assert sizes.count(4) >= len(sizes) - 2, "those that began a step earlier end a step earlier"

    virtual_time.run(scenario())


def test_tokens_of_lost_envelopes_are_generated_again():
    async def scenario():
        world = World(3, workers=2)
        await world.settle(2)
        listeners = [Listener(world, f"t{n}") for n in range(4)]
        await asyncio.sleep(5 * STEP_S)
        world.layer.loss = 0.1
        await asyncio.sleep(20 * STEP_S)
        world.layer.loss = 0.0
        assert any(len(listener.tokens) < 20 for listener in listeners), "some were lost"
        await asyncio.gather(*(listener.check() for listener in listeners))
        await world.settle(3)
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_a_result_whose_tokens_were_lost_is_not_accepted():
    """Only the envelope right before the result is lost, so that no later token shows the gap."""

    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        listener = Listener(world, "t")
        await asyncio.wait_for(listener.heard(TOKENS - 2), timeout=10)
        world.layer.loss = 1.0
        await asyncio.sleep(1.2 * STEP_S)
        world.layer.loss = 0.0
        messages = watch(world)
        await listener.check()
        assert resumes(messages) == [TOKENS - 2]

    virtual_time.run(scenario())


def test_a_cancelled_stream_frees_its_place_at_the_next_step():
    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        listener = Listener(world, "t")
        await asyncio.sleep(10 * STEP_S)
        listener.task.cancel()
        await asyncio.sleep(3 * STEP_S)
        assert world.leftovers() == []

    virtual_time.run(scenario())


@pytest.mark.parametrize("seed", range(6))
def test_streams_survive_random_faults(seed: int):
    async def scenario():
        world = World(seed, workers=3)
        await world.settle(2)
        troubled = asyncio.create_task(world.trouble(rounds=8, changes=False))
        listeners: list[Listener] = []
        pause = random.Random(seed)
        while not troubled.done():
            listeners.append(Listener(world, f"t{len(listeners)}", deadline_s=500))
            await asyncio.sleep(pause.uniform(0.1, 1.5))
        await troubled
        await asyncio.gather(*(listener.check() for listener in listeners))
        await world.settle(10)
        assert world.leftovers() == []

    virtual_time.run(scenario(), limit_s=1000)


def test_a_text_is_not_continued_by_another_model():
    """Its tokens so far are those of the first model."""

    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        listener = Listener(world, "t")
        await asyncio.sleep(10 * STEP_S)
        assert listener.tokens
        old = next(iter(world.workers))
        world.version = "other"
        world.start_worker()
        world.kill(old)
        with pytest.raises(Superseded):
            await listener.task

    virtual_time.run(scenario())
