"""The protocol between web and worker under simulated faults: every request gets exactly one answer, to its own input.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
from collections import Counter

import pytest

from inference.errors import DeadlineExceeded, Invalid, WorkerLost
from inference.worker.watchdog import USUAL_LIMIT_S
from tests import virtual_time
from tests.scheduling.unsteady_clients import check_random_faults, outcome_of
from tests.simulation import BATCH_S, World, simulate


@pytest.fixture(autouse=True)
def _simulated(monkeypatch):
    simulate(monkeypatch)


def test_answers_come_from_shared_batches():
    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        answers = await asyncio.gather(*(world.ask(f"t{n}") for n in range(12)))
        assert answers == [f"t{n}" for n in range(12)]
        assert max(map(len, world.batches)) == 4

    virtual_time.run(scenario())


def test_jobs_wait_for_the_first_worker():
    async def scenario():
        world = World(1, workers=0)
        asking = asyncio.create_task(world.ask("early"))
        await asyncio.sleep(5)
        world.start_worker()
        assert await asking == "early"

    virtual_time.run(scenario())


def test_the_time_after_a_cancelled_burst_is_not_measured_as_throughput():
    """The workers were idle for that minute."""

    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        burst = [asyncio.create_task(world.ask(f"b{n}")) for n in range(200)]
        await asyncio.wait(burst, return_when=asyncio.FIRST_COMPLETED)
        for asked in burst:
            asked.cancel()
        await asyncio.gather(*burst, return_exceptions=True)
        await asyncio.sleep(60)
        await asyncio.gather(*(world.ask(f"t{n}") for n in range(40)))
        assert world.webs[0].pipelines["default"].throughput.jobs_per_s > 1 / BATCH_S

    virtual_time.run(scenario())


def test_load_is_spread_over_workers():
    async def scenario():
        world = World(1, workers=2)
        await world.settle(2)
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(world.ask(f"t{n}") for n in range(16)))
        assert asyncio.get_running_loop().time() - started < 3.6 * BATCH_S

    virtual_time.run(scenario())


def test_a_deadline_is_answered_when_it_passes():
    async def scenario():
        world = World(1, workers=0)
        started = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded):
            await world.ask("t", deadline_s=3)
        assert asyncio.get_running_loop().time() - started == 3
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_cancelled_waiting_job_never_reaches_the_model():
    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        asking = [asyncio.create_task(world.ask(f"t{n}")) for n in range(20)]
        await asyncio.sleep(0.001)
        asking[19].cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert "t19" not in {text for batch in world.batches for text in batch}
        await world.settle(3)
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_bad_input_fails_alone():
    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        outcomes = await asyncio.gather(*(outcome_of(world, text) for text in ("a", "bad", "c", "d")))
        assert outcomes == ["a", Invalid.code, "c", "d"]

    virtual_time.run(scenario())


def test_input_that_cannot_be_sent_fails_at_once_and_alone():
    """With every worker the send would fail again, and suspend the worker's credit."""

    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        asking = [asyncio.create_task(outcome_of(world, text)) for text in ("a", "b")]
        with pytest.raises(Invalid, match="cannot be sent"):
            await world.ask({"a", "set"})
        assert await asyncio.gather(*asking) == ["a", "b"]

    virtual_time.run(scenario())


def test_killed_worker_costs_no_answer():
    """Rule 7."""

    async def scenario():
        world = World(1, workers=2)
        await world.settle(2)
        asking = [asyncio.create_task(world.ask(f"t{n}")) for n in range(40)]
        await asyncio.sleep(BATCH_S / 2)
        world.kill(next(iter(world.workers)))
        assert await asyncio.gather(*asking) == [f"t{n}" for n in range(40)]
        await world.settle(3)
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_poison_kills_at_most_three_workers_and_affects_no_other_input():
    """Rule 8: one shared batch and two alone."""

    async def scenario():
        world = World(1, workers=3, max_batch_size=8)
        await world.settle(2)
        texts = [f"t{n}" for n in range(20)] + ["poison"]
        outcomes = await asyncio.gather(*(outcome_of(world, text, deadline_s=60) for text in texts))
        assert outcomes == [*texts[:-1], WorkerLost.code]
        assert world.kills == 3
        await world.settle()
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_input_that_hangs_costs_at_most_three_workers_and_affects_no_other_input():
    """Rules 8 and 9."""

    async def scenario():
        world = World(1, workers=3, max_batch_size=8)
        await world.settle(2)
        texts = [f"t{n}" for n in range(20)] + ["hang"]
        outcomes = await asyncio.gather(*(outcome_of(world, text, deadline_s=60) for text in texts))
        assert outcomes == [*texts[:-1], WorkerLost.code]
        assert world.hangs == 3
        await world.settle()
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_input_that_loses_the_device_costs_at_most_three_workers_and_affects_no_other_input():
    """Rules 8 and 9: every later call would fail, so the worker ends at once."""

    async def scenario():
        world = World(1, workers=3, max_batch_size=8)
        await world.settle(2)
        texts = [f"t{n}" for n in range(20)] + ["assert"]
        outcomes = await asyncio.gather(*(outcome_of(world, text, deadline_s=60) for text in texts))
        assert outcomes == [*texts[:-1], WorkerLost.code]
        assert world.hangs == 3
        assert len([batch for batch in world.batches if "assert" in batch]) == 3
        await world.settle()
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_worker_whose_model_hangs_returns_waiting_jobs_at_once():
    """Rule 9: only the jobs of the same batch wait until the worker is lost."""

    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        clock = asyncio.get_running_loop().time
        hanging = asyncio.create_task(outcome_of(world, "hang", deadline_s=12))
        await asyncio.sleep(BATCH_S / 2)
        asking = [asyncio.create_task(world.ask(f"t{n}")) for n in range(12)]
        world.start_worker()
        await asyncio.sleep(2)
        began = clock()
        assert await asyncio.gather(*asking) == [f"t{n}" for n in range(12)]
        assert clock() - began <= USUAL_LIMIT_S
        assert await hanging == DeadlineExceeded.code
        assert not any("hang" in batch and len(batch) > 1 for batch in world.batches)

    virtual_time.run(scenario())


def test_input_that_hangs_in_the_tokenizer_costs_at_most_three_workers_and_affects_no_other_input():
    """Rules 8 and 9: the worker keeps holding it, which makes it a suspect when the worker is lost."""

    async def scenario():
        world = World(1, workers=3, max_batch_size=8)
        await world.settle(2)
        texts = [f"t{n}" for n in range(20)] + ["endless"]
        outcomes = await asyncio.gather(*(outcome_of(world, text, deadline_s=90) for text in texts))
        assert outcomes == [*texts[:-1], WorkerLost.code]
        assert world.hangs == 3
        await world.settle()
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_returned_jobs_run_in_the_order_of_admission():
    """After a loss the oldest job has the least time left."""

    async def scenario():
        world = World(1, workers=1, max_batch_size=4)
        await world.settle(2)
        asking = [asyncio.create_task(world.ask(f"t{n}", deadline_s=60)) for n in range(12)]
        await asyncio.sleep(BATCH_S / 2)
        world.kill(next(iter(world.workers)))
        world.batches.clear()
        world.start_worker()
        await asyncio.gather(*asking)
        assert [text for batch in world.batches for text in batch] == [f"t{n}" for n in range(12)]

    virtual_time.run(scenario())


def test_a_worker_with_another_model_gets_no_jobs_while_one_with_the_right_model_is_ready():
    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        world.version = "2"
        wrong = world.start_worker()
        await world.settle(2)
        assert await asyncio.gather(*(world.ask(f"t{n}") for n in range(40))) == [f"t{n}" for n in range(40)]
        assert wrong.held == 0
        assert len(world.webs[0].pipelines["default"].other_versions()) == 1

    virtual_time.run(scenario())


def test_a_rolling_change_of_the_model_loses_nothing():
    """Requests that wait for workers that have stopped are validated anew, for the workers that replaced them."""

    async def scenario():
        world = World(1, workers=3)
        await world.settle(2)
        asking = [asyncio.create_task(world.ask(f"a{n}", deadline_s=60)) for n in range(3000)]
        await asyncio.sleep(BATCH_S)
        world.version = "2"
        for leaving in list(world.workers):
            world.start_worker()
            await asyncio.sleep(1)
            await leaving.drain(timeout_s=30)
            await world.workers.pop(leaving)
        assert await asyncio.gather(*asking) == [f"a{n}" for n in range(3000)]
        assert [worker.version for worker in world.webs[0].pipelines["default"].serving()] == ["2"] * 3
        await world.settle(3)
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_the_last_answers_of_workers_that_stop_are_not_measured_as_throughput():
    async def scenario():
        world = World(1, workers=1, max_batch_size=4)
        await world.settle(2)
        asking = [asyncio.create_task(world.ask(f"t{n}", deadline_s=60)) for n in range(200)]
        await asyncio.sleep(10 * BATCH_S)
        [leaving] = world.workers
        for view in world.webs[0].registry.get(leaving.id).workers.values():  # type: ignore[union-attr]
            view.state = "draining"
        known = world.webs[0].pipelines["default"].throughput._throughput.per_worker
        await asyncio.sleep(3 * BATCH_S)
        assert world.webs[0].pipelines["default"].throughput._throughput.per_worker == known
        await asyncio.gather(*asking)

    virtual_time.run(scenario())


def test_requests_that_wait_for_the_first_worker_end_when_the_process_stops():
    async def scenario():
        world = World(1, workers=0)
        asking = asyncio.create_task(outcome_of(world, "early"))
        await asyncio.sleep(1)
        world.webs[0].fail_all(lambda: WorkerLost("The process ends."))
        assert await asyncio.wait_for(asking, 1) == WorkerLost.code

    virtual_time.run(scenario())


@pytest.mark.parametrize("outage_s", [2.0, 20.0])
def test_no_worker_is_lost_while_the_layer_is_down(outage_s):
    """Rule 7: periods in which the layer did not work do not count."""

    async def scenario():
        world = World(1, workers=2)
        await world.settle(2)
        known = {worker.id for worker in world.workers}
        asking = [asyncio.create_task(world.ask(f"t{n}", deadline_s=60)) for n in range(40)]
        await asyncio.sleep(BATCH_S / 2)
        world.layer.down = True
        world.layer.empty()
        await asyncio.sleep(outage_s)
        world.layer.down = False
        assert await asyncio.gather(*asking) == [f"t{n}" for n in range(40)]
        assert {view.id for view in world.webs[0].registry} == known

    virtual_time.run(scenario())


def test_no_worker_is_lost_while_the_layer_is_frozen():
    async def scenario():
        world = World(1, workers=2)
        await world.settle(2)
        known = {worker.id for worker in world.workers}
        asking = [asyncio.create_task(world.ask(f"t{n}", deadline_s=60)) for n in range(40)]
        await asyncio.sleep(BATCH_S / 2)
        world.layer.freeze()
        await asyncio.sleep(10)
        world.layer.thaw()
        assert await asyncio.gather(*asking) == [f"t{n}" for n in range(40)]
        assert {view.id for view in world.webs[0].registry} == known

    virtual_time.run(scenario())


def test_lost_submit_is_sent_again_without_suspicion():
    """Rule 5: a status that is newer than the send and does not hold the job."""

    async def scenario():
        world = World(1, workers=1)
        await world.settle(2)
        world.layer.loss = 1.0
        asking = asyncio.create_task(world.ask("t"))
        await asyncio.sleep(0.1)
        world.layer.loss = 0.0
        assert await asking == "t"
        assert world.kills == 0

    virtual_time.run(scenario())


def test_drained_worker_returns_jobs_that_have_not_started():
    """Rule 11."""

    async def scenario():
        world = World(1, workers=2)
        await world.settle(2)
        asking = [asyncio.create_task(world.ask(f"t{n}")) for n in range(40)]
        await asyncio.sleep(BATCH_S / 2)
        leaving = next(iter(world.workers))
        await leaving.drain(timeout_s=30)
        await world.workers.pop(leaving)
        assert await asyncio.gather(*asking) == [f"t{n}" for n in range(40)]
        assert Counter(text for batch in world.batches for text in batch).most_common(1)[0][1] == 1

    virtual_time.run(scenario())


def test_two_webs_share_a_worker():
    async def scenario():
        world = World(1, webs=2, workers=1)
        await world.settle(3)
        texts = [(f"w{web}-{n}", web) for n in range(20) for web in (0, 1)]
        answers = await asyncio.gather(*(world.ask(text, web=web) for text, web in texts))
        assert answers == [text for text, _ in texts]
        await world.settle(3)
        assert world.leftovers() == []

    virtual_time.run(scenario())


@pytest.mark.parametrize("seed", range(20))
def test_random_faults(seed):
    """Lost, delayed and refused messages; frozen and emptied layers; killed and drained workers; harmful inputs.

    ``test_pipelines_simulation`` has as many seeds with three pipelines.
    """
    virtual_time.run(check_random_faults(seed), limit_s=2000)
