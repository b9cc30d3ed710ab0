"""Orders of operators, and what becomes of them under simulated faults (rules 17 to 20).

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import pytest

from inference.backends.base import LoadFailed
from inference.errors import NotLoaded
from inference.messaging.messages import Order
from inference.scheduling.host_registry import WorkerView
from inference.serving.pipeline_state import state_of
from inference.worker.host import WorkerHost
from tests import virtual_time
from tests.scheduling.unsteady_clients import check_random_faults, outcome_of
from tests.simulation import BATCH_S, Connection, PreviousRelease, SimulatedExecutor, SimulatedModel, World, simulate

PIPELINES = ("default", "other")
FINE = ("reload", "drain")
"""Orders that no client notices."""
TOLD_S = 1.5
"""Until a host has heard an order, if no message is lost."""


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch)


def views(world: World, pipeline: str = "default") -> list[WorkerView]:
    return list(world.webs[0].pipelines[pipeline].workers.values())


def loads(world: World, pipeline: str = "default") -> Counter[WorkerHost]:
    """How often each host has loaded a pipeline."""
    return Counter(
        host for host, models in world.models.items() for model in models if model.description.model == pipeline
    )


def open_models(world: World, host: WorkerHost) -> list[SimulatedModel]:
    return [model for model in world.models[host] if not model.closed]


def order(kind: Literal["load", "unload", "reload"], generation: int) -> Order:
    return Order("default", generation, kind, 0.0)


@pytest.mark.parametrize(
    ("seed", "orders"),
    [(1, (*FINE, "replace")), (3, (*FINE, "replace", "load", "unload"))],
)
def test_random_faults_and_orders(seed: int, orders: tuple[str, ...]):
    """No reload or drain costs an answer; only while a pipeline is unloaded is a request told so."""
    virtual_time.run(check_random_faults(seed, PIPELINES, orders), limit_s=2000)


@pytest.mark.parametrize("hosts", [1, 3])
def test_a_reload_under_load_leaves_no_gap(hosts: int):
    """Rule 19: one host after the other, and at any moment some worker serves."""

    async def scenario():
        world = World(1, webs=2, workers=hosts, pipelines=PIPELINES)
        await world.settle(3)
        world.layer.delay_s = 0.2
        world.version = "new"
        world.order("default", "reload", read_s=1)
        asking, most_loading = [], 0
        for n in range(300):
            asking.append(asyncio.create_task(outcome_of(world, f"t{n}", web=n % 2, deadline_s=5)))
            await asyncio.sleep(0.02)
            assert all(web.pipelines["default"].serving() for web in world.webs)
            parts = [part for host in world.workers for part in host._intake.workers]
            most_loading = max(most_loading, sum(part.state == "starting" for part in parts))
        assert await asyncio.gather(*asking) == [f"t{n}" for n in range(300)]
        assert most_loading == 1
        assert loads(world) == dict.fromkeys(world.workers, 2)
        assert loads(world, "other") == dict.fromkeys(world.workers, 1)
        assert {view.version for view in views(world)} == {"new"}
        assert [len(open_models(world, host)) for host in world.workers] == [2] * hosts
        await asyncio.sleep(1)
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_an_unloaded_pipeline_finishes_what_runs_and_refuses_the_rest():
    """Rule 18."""

    async def scenario():
        world = World(1, workers=1, pipelines=PIPELINES)
        await world.settle(3)
        [host] = world.workers
        asking = [asyncio.create_task(outcome_of(world, f"t{n}", deadline_s=100)) for n in range(400)]
        await asyncio.sleep(BATCH_S / 2)
        world.order("default", "unload")
        [default, _] = host.workers
        while default.state == "ready":  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.001)
        ran = len(world.ran)
        outcomes = await asyncio.gather(*asking)
        assert len(world.ran) <= ran + 2, "more than what was under way"
        assert set(outcomes) == {NotLoaded.code, *(f"t{n}" for n in range(400) if outcomes[n] == f"t{n}")}
        assert await world.ask("t", pipeline="other") == "other says t"
        await asyncio.sleep(TOLD_S)
        [view] = views(world)
        assert (view.state, view.reason, view.ready) == ("unloaded", "", False)
        assert [model.description.model for model in open_models(world, host)] == ["other"]
        assert len(host._placement._loading._turns._shares) == 1
        assert world.webs[0].pipelines["default"].failure == "An operator unloaded pipeline default at then"
        assert world.leftovers() == []

        world.order("default", "load")
        assert await world.ask("again", deadline_s=5) == "again"
        assert loads(world)[host] == 2

    virtual_time.run(scenario())


def test_who_starts_later_follows_the_order_that_holds():
    """Rule 17: a host unloads what it began to load; it loads nothing again that it has read after the order."""

    async def scenario():
        world = World(1, workers=1, pipelines=PIPELINES)
        await world.settle(3)
        world.order("default", "unload")
        world.order("other", "reload")
        await asyncio.sleep(5.5)  # between two hellos
        late = world.start_worker()
        await asyncio.sleep(5)
        assert [view.state for view in views(world)] == ["unloaded"] * 2
        assert [model.description.model for model in open_models(world, late)] == ["other"]
        assert loads(world, "other")[late] == 1
        world.order("default", "load")
        await asyncio.sleep(5)
        assert [view.state for view in views(world)] == ["ready"] * 2

    virtual_time.run(scenario())


def test_hosts_that_unload_first_take_turns(monkeypatch: pytest.MonkeyPatch):
    """Rule 19: the next one waits until the pipeline is served again."""
    run = SimulatedExecutor.run

    async def load_slowly(self: SimulatedExecutor, *args: Any, **options: Any) -> Any:
        await asyncio.sleep(3 if self._name.startswith("loader") else 0)
        return await run(self, *args, **options)

    async def scenario():
        world = World(1, workers=3, pipelines=PIPELINES)
        await world.settle(3)
        monkeypatch.setattr(SimulatedExecutor, "run", load_slowly)
        world.order("default", "reload", unload_first=True)
        for _ in range(200):
            await asyncio.sleep(0.1)
            assert sum(view.state == "ready" for view in views(world)) >= 2
        assert loads(world) == dict.fromkeys(world.workers, 2)

    virtual_time.run(scenario())


def test_a_pipeline_that_is_unloaded_while_it_loads_is_not_served():
    """Rule 18: loading ends at its next report, or what was loaded is closed."""

    async def scenario():
        world = World(1, workers=1, pipelines=PIPELINES)
        [host] = world.workers
        default, _ = host.workers
        while default.pipeline is None:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.0001)
        assert default.state == "starting"
        host._placement.obey([order("unload", 1)])
        with pytest.raises(LoadFailed):
            default.report("warming up")
        await asyncio.sleep(1)
        assert [worker.state for worker in host.workers] == ["unloaded", "ready"]
        assert [model.description.model for model in open_models(world, host)] == ["other"]
        assert not world.webs[0].pipelines["default"].serving()

    virtual_time.run(scenario())


def test_an_older_order_that_is_heard_later_changes_nothing():
    """Rule 17: a web process may read late, or not any more."""

    async def scenario():
        world = World(1, workers=1, pipelines=PIPELINES)
        await world.settle(3)
        [host] = world.workers
        for heard in (order("load", 7), order("unload", 6), order("reload", 5), order("load", 7)):
            host._placement.obey([heard])
            assert host._placement._places["default"].order == order("load", 7)
            await asyncio.sleep(1)
            assert host.workers[0].state == "ready"
        assert loads(world)[host] == 1

    virtual_time.run(scenario())


def test_who_does_not_read_orders_sees_that_a_pipeline_is_unloaded():
    async def scenario():
        world = World(1, webs=2, workers=2, pipelines=PIPELINES)
        await world.settle(3)
        world.order("default", "unload")
        world.webs[1].desired = type(world.webs[1].desired)()
        await asyncio.sleep(4)
        assert world.webs[1].pipelines["default"].failure == "An operator unloaded pipeline default"

    virtual_time.run(scenario())


@pytest.mark.parametrize("first", [False, True], ids=["beside", "unload first"])
def test_a_reload_that_fails(first: bool, monkeypatch: pytest.MonkeyPatch):
    """Beside the one that serves: that one stays, and says why. Unloaded first: no other host is touched."""

    async def scenario():
        world = World(1, workers=3, pipelines=PIPELINES)
        await world.settle(3)

        def fail(self: object, *args: object) -> None:
            raise LoadFailed("There is no room.")

        with monkeypatch.context() as broken:
            broken.setattr("tests.simulation.SimulatedModel.__init__", fail)
            world.order("default", "reload", unload_first=first)
            asking = [asyncio.create_task(world.ask(f"t{n}")) for n in range(100)]
            await asyncio.sleep(20)
        await asyncio.gather(*asking)
        states = Counter((view.state, view.reason) for view in views(world))
        if first:
            assert states == {("ready", ""): 2, ("failed", "There is no room."): 1}
        else:
            assert states == {("ready", "It was not reloaded. There is no room."): 3}
            shown = state_of(world.catalog.default, world.webs[0].pipelines["default"])
            assert (shown.state, shown.reason) == ("ready", "It was not reloaded. There is no room.")
        await asyncio.sleep(60)
        assert {view.state for view in views(world)} == {"ready"}

    virtual_time.run(scenario())


def test_a_host_is_drained_and_another_starts():
    """Rule 20."""

    async def scenario():
        world = World(1, webs=2, workers=2, pipelines=PIPELINES)
        await world.settle(3)
        drained, other = world.workers
        asking = [asyncio.create_task(world.ask(f"t{n}", web=n % 2, deadline_s=10)) for n in range(200)]
        world.order_drain(drained)
        assert await asyncio.gather(*asking) == [f"t{n}" for n in range(200)]
        await asyncio.sleep(5)
        assert drained not in world.workers
        assert other in world.workers
        assert {host.id for host in world.webs[0].registry} == {host.id for host in world.workers}
        assert open_models(world, drained) == []

    virtual_time.run(scenario())


def test_orders_and_processes_of_the_release_before():
    """They hear none, and none breaks them: their hosts go on, their web processes lose nothing."""

    async def scenario():
        world = World(1, workers=1)
        world.webs.append(type(world.webs[0])(Connection(PreviousRelease(world.layer)), ["default"]))
        world.webs[1].start()
        world.start_worker("default", previous=True)
        await world.settle(3)
        asking = [asyncio.create_task(world.ask(f"t{n}", web=n % 2, deadline_s=20)) for n in range(400)]
        world.order("default", "reload")
        assert await asyncio.gather(*asking) == [f"t{n}" for n in range(400)]
        await asyncio.sleep(3)
        assert sorted(loads(world).values()) == [1, 2]
        world.order("default", "unload")
        await asyncio.sleep(3)
        assert await outcome_of(world, "t", deadline_s=5, web=1) == "t"
        await asyncio.sleep(1)
        assert world.leftovers() == []

    virtual_time.run(scenario())


def test_orders_that_change_while_a_model_is_read(monkeypatch: pytest.MonkeyPatch):
    """Unloaded and loaded again during a reload: nothing is left of the worker that was there before, or the host
    whose turn it is would be the same for ever."""
    run, read_s = SimulatedExecutor.run, 5.0

    async def slow(executor: SimulatedExecutor, call: Callable[[], Any], *args: Any, **options: Any) -> Any:
        if executor._name.startswith("loader"):
            await asyncio.sleep(read_s)
        return await run(executor, call, *args, **options)

    async def scenario():
        world = World(1, workers=2, pipelines=PIPELINES)
        await world.settle(3 + 4 * read_s)
        monkeypatch.setattr(SimulatedExecutor, "run", slow)
        world.order("default", "reload")
        await asyncio.sleep(TOLD_S)
        world.order("default", "unload")
        await asyncio.sleep(TOLD_S)
        world.order("default", "load")
        await asyncio.sleep(4 * read_s)
        assert [(view.state, view.reason) for view in views(world)] == [("ready", "")] * 2
        before = loads(world)
        world.order("default", "reload")
        await asyncio.sleep(4 * read_s)
        assert [view.state for view in views(world)] == ["ready"] * 2
        assert loads(world) - before == dict.fromkeys(world.workers, 1)
        assert world.leftovers() == []

    virtual_time.run(scenario())
