"""Several pipelines at each host under simulated faults (rules 13 to 16), and messages of two releases.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
from collections import Counter

import pytest

from inference.errors import DeadlineExceeded, WorkerLost
from inference.worker.watchdog import USUAL_LIMIT_S
from tests import virtual_time
from tests.scheduling.unsteady_clients import answer, check_random_faults, outcome_of
from tests.simulation import BATCH_S, Connection, PreviousRelease, World, simulate

PIPELINES = ("default", "other", "third")


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch)


def test_each_pipeline_answers_its_own_requests():
    async def scenario():
        world = World(1, workers=2, pipelines=PIPELINES)
        await world.settle(2)
        asked = [(pipeline, f"t{n}") for n in range(30) for pipeline in PIPELINES]
        answers = await asyncio.gather(*(world.ask(text, pipeline=pipeline) for pipeline, text in asked))
        assert answers == [answer(*of) for of in asked]
        await world.settle(3)
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_hosts_may_have_different_pipelines():
    async def scenario():
        world = World(1, workers=0, pipelines=PIPELINES)
        world.start_worker("default", "other")
        world.start_worker("third")
        await world.settle(2)
        asked = [(pipeline, f"t{n}") for n in range(10) for pipeline in PIPELINES]
        answers = await asyncio.gather(*(world.ask(text, pipeline=pipeline) for pipeline, text in asked))
        assert answers == [answer(*of) for of in asked]

    virtual_time.run(scenario())


def test_a_killed_host_costs_no_answer_of_any_pipeline():
    """Rule 13."""

    async def scenario():
        world = World(1, workers=2, pipelines=PIPELINES)
        await world.settle(2)
        asked = [(pipeline, f"t{n}") for n in range(30) for pipeline in PIPELINES]
        asking = [asyncio.create_task(world.ask(text, pipeline=pipeline, deadline_s=60)) for pipeline, text in asked]
        await asyncio.sleep(BATCH_S / 2)
        world.kill(next(iter(world.workers)))
        assert await asyncio.gather(*asking) == [answer(*of) for of in asked]
        await world.settle(3)
        assert world.leftovers() == []

    virtual_time.run(scenario())


@pytest.mark.parametrize("harm", ["poison", "hang", "endless", "assert"])
def test_suspects_of_two_pipelines_convict_no_innocent(harm):
    """Rule 14: each harmful input costs three hosts at most, and no input of any pipeline pays for it."""

    async def scenario():
        world = World(1, workers=3, pipelines=PIPELINES, max_batch_size=8)
        await world.settle(2)
        asked = [(pipeline, f"t{n}") for n in range(20) for pipeline in PIPELINES]
        harmful = [("default", harm), ("other", harm)]
        outcomes = await asyncio.gather(
            *(outcome_of(world, text, pipeline=pipeline, deadline_s=600) for pipeline, text in [*asked, *harmful])
        )
        assert outcomes[:-2] == [answer(*of) for of in asked]
        assert outcomes[-2:] == [WorkerLost.code] * 2
        assert world.kills + world.hangs <= 6
        await world.settle()
        assert world.leftovers() == []

    virtual_time.run(scenario(), limit_s=2000)


def test_while_a_suspect_runs_no_other_pipeline_does():
    """Rule 14. Poison that ends its host while it runs alone finds no other job in any model or tokenizer there."""

    async def scenario():
        world = World(1, workers=1, pipelines=PIPELINES)
        await world.settle(2)
        poison = asyncio.create_task(outcome_of(world, "poison", deadline_s=100))
        asking: list[asyncio.Task[str]] = []
        while not poison.done():  # a tokenizer has something to do at any time
            await asyncio.sleep(0.004)
            pipeline = PIPELINES[len(asking) % len(PIPELINES)]
            asking.append(asyncio.create_task(world.ask(f"t{len(asking)}", pipeline=pipeline, deadline_s=100)))
        assert await poison == WorkerLost.code
        answers = await asyncio.gather(*asking)
        assert answers == [answer(PIPELINES[n % len(PIPELINES)], f"t{n}") for n in range(len(asking))]
        assert len(world.beside) == 3
        assert world.beside[1:] == [0, 0]

    virtual_time.run(scenario())


def test_a_hang_gives_back_the_waiting_jobs_of_all_pipelines():
    """Rule 13: at once, without waiting until the host is lost."""

    async def scenario():
        world = World(1, workers=1, pipelines=PIPELINES)
        await world.settle(2)
        clock = asyncio.get_running_loop().time
        hanging = asyncio.create_task(outcome_of(world, "hang", deadline_s=12))
        await asyncio.sleep(BATCH_S / 2)
        asked = [(pipeline, f"t{n}") for n in range(12) for pipeline in PIPELINES]
        asking = [asyncio.create_task(world.ask(text, pipeline=pipeline)) for pipeline, text in asked]
        world.start_worker()
        await asyncio.sleep(2)
        began = clock()
        assert await asyncio.gather(*asking) == [answer(*of) for of in asked]
        assert clock() - began <= USUAL_LIMIT_S
        assert await hanging == DeadlineExceeded.code

    virtual_time.run(scenario())


def test_turns_are_shared_by_weight():
    """Rule 15: while all have work, each gets its part of the batches; the rest of one that has none is used."""

    async def scenario():
        world = World(1, workers=1, pipelines=("default", "other"))
        await world.settle(2)
        asking = [
            asyncio.create_task(world.ask(f"t{n}", pipeline=pipeline, deadline_s=100))
            for n in range(200)
            for pipeline in ("default", "other")
        ]
        await asyncio.sleep(20 * BATCH_S)
        ran = Counter(pipeline for pipeline, _ in world.ran)
        assert abs(ran["default"] - ran["other"]) <= 4
        await asyncio.gather(*asking)

    virtual_time.run(scenario())


def test_a_pipeline_that_is_overloaded_takes_no_more_than_its_share():
    async def scenario():
        world = World(1, workers=1, pipelines=("default", "other"))
        await world.settle(2)
        flood = [asyncio.create_task(world.ask(f"f{n}", deadline_s=500)) for n in range(2000)]
        await asyncio.sleep(1)
        clock = asyncio.get_running_loop().time
        began = clock()
        for n in range(20):  # one after the other: each waits for at most the batches that run
            await world.ask(f"t{n}", pipeline="other")
        assert clock() - began <= 20 * 3 * BATCH_S
        for asked in flood:
            asked.cancel()
        await asyncio.gather(*flood, return_exceptions=True)

    virtual_time.run(scenario())


def test_webs_and_hosts_of_two_releases_work_together():
    """A rolling deploy: at no time is a request lost. Processes of the release before know one pipeline only."""

    async def scenario():
        world = World(1, workers=0, pipelines=("default", "other"))
        world.webs.append(type(world.webs[0])(Connection(PreviousRelease(world.layer)), ["default"]))
        world.webs[1].start()
        old = world.start_worker("default", previous=True)
        await world.settle(3)
        first = [asyncio.create_task(world.ask(f"a{n}", web=n % 2, deadline_s=60)) for n in range(400)]
        waiting = asyncio.create_task(world.ask("early", pipeline="other", deadline_s=60))
        await asyncio.sleep(BATCH_S)
        world.start_worker()
        await asyncio.sleep(2)
        await old.drain(timeout_s=30)
        await world.workers.pop(old)
        assert await asyncio.gather(*first) == [f"a{n}" for n in range(400)]
        assert await waiting == "other says early"
        second = [f"b{n}" for n in range(100)]
        assert await asyncio.gather(*(world.ask(text, web=n % 2) for n, text in enumerate(second))) == second
        await world.settle(3)
        assert world.leftovers() == []

    virtual_time.run(scenario())


@pytest.mark.parametrize("seed", range(20))
def test_random_faults(seed):
    """As in ``test_protocol_simulation``, with three pipelines at each host."""
    virtual_time.run(check_random_faults(seed, PIPELINES), limit_s=2000)
