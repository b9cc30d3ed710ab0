"""A host from its start to its end: it loads pipelines one after the other, and serves those that it can."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from inference.backends.base import LoadFailed, Turn, at_once
from inference.catalog import Catalog, PipelineSpec
from inference.conf import Conf
from inference.errors import NotLoaded
from inference.messaging.messages import Job, Submit
from inference.scheduling.host_registry import WorkerView
from inference.worker.host import WorkerHost
from inference.worker.placement import RETRY_FIRST_S, RETRY_LAST_S
from inference.worker.watchdog import ModelHangs
from tests import virtual_time
from tests.simulation import SimulatedExecutor, SimulatedModel, World
from tests.worker.bench import ControlledPipeline

PATIENCE_S = 20
REASON = "There is no such model."


class Loader:
    """Loads pipelines in the simulation; those that it is told to fail raise."""

    def __init__(self, world: World) -> None:
        self.failing: dict[str, Exception] = {}
        self.loaded: list[tuple[str, float]] = []
        """Which pipelines were loaded, well or not, and when."""
        self.models: dict[str, SimulatedModel] = {}
        self._names = {spec.conf.model: spec.name for spec in world.catalog}
        self._loop = asyncio.get_running_loop()

    def __call__(self, conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> Any:
        name = self._names.get(conf.model, "default")
        self.loaded.append((name, self._loop.time() - virtual_time.START_S))
        report("loading weights")
        if error := self.failing.get(name):
            raise error
        self.models[name] = SimulatedModel(lambda texts: None, "", name)
        return self.models[name]


class Stage:
    """One host and one web process."""

    def __init__(self, *names: str) -> None:
        self.world = World(1, workers=0, pipelines=names)
        self.load = Loader(self.world)
        self.host = WorkerHost(self.world.layer, self.world.conf, self.world.catalog, self.load)
        self.world.versions |= dict.fromkeys((self.host.id, *(worker.id for worker in self.host.workers)), "")
        self.ends = asyncio.get_running_loop().create_task(self.host.arun())

    def view(self, name: str) -> WorkerView:
        """What the web process knows of a pipeline at the host."""
        [found] = [
            worker
            for host in self.world.webs[0].registry
            for worker in host.workers.values()
            if worker.pipeline == name
        ]
        return found


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """No threads."""
    for module in ("host", "loading"):
        monkeypatch.setattr(f"inference.worker.{module}.ThreadExecutor", SimulatedExecutor)


@asynccontextmanager
async def stage(*names: str, **failing: Exception) -> AsyncIterator[Stage]:
    made = Stage(*names)
    made.load.failing |= failing
    try:
        yield made
    finally:
        made.ends.cancel()
        await asyncio.wait([made.ends])
        await made.world.webs[0].stop()


# Several pipelines


@pytest.mark.usefixtures("simulated")
def test_pipelines_are_loaded_one_after_the_other_in_the_order_of_the_catalog():
    async def scenario() -> None:
        async with stage("b", "c", "a") as s:
            await asyncio.sleep(1)
            assert [name for name, _ in s.load.loaded] == ["b", "c", "a"]
            times = [at for _, at in s.load.loaded]
            assert all(earlier < later for earlier, later in pairwise(times))
            assert s.host.was_ready
            for name in ("a", "b", "c"):
                assert await s.world.ask("t", pipeline=name) == f"{name} says t"

    virtual_time.run(scenario())


@pytest.mark.usefixtures("simulated")
def test_where_one_of_two_fails_to_load_the_other_serves_and_it_is_loaded_again():
    async def scenario() -> None:
        async with stage("bad", "good", bad=LoadFailed(REASON)) as s:
            waiting = asyncio.create_task(s.world.ask("t", pipeline="bad"))
            await asyncio.sleep(2)
            assert await s.world.ask("t", pipeline="good") == "good says t"
            view = s.view("bad")
            assert (view.state, view.reason, view.ready) == ("failed", REASON, False)
            with pytest.raises(NotLoaded, match=re.escape(REASON.rstrip("."))):
                await waiting

            failed_at = s.load.loaded[0][1]
            s.load.failing.clear()
            await asyncio.sleep(RETRY_FIRST_S)
            assert await s.world.ask("t", 60, pipeline="bad") == "bad says t"
            [again_at] = [at for name, at in s.load.loaded if name == "bad"][1:]
            assert again_at - failed_at == pytest.approx(RETRY_FIRST_S, abs=1)
            view = s.view("bad")
            assert (view.state, view.reason, view.ready) == ("ready", "", True)
            assert await s.world.ask("t", pipeline="good") == "good says t"
            assert len([name for name, _ in s.load.loaded if name == "good"]) == 1

    virtual_time.run(scenario())


@pytest.mark.usefixtures("simulated")
def test_the_pauses_before_it_is_loaded_again_grow_up_to_a_bound():
    async def scenario() -> None:
        async with stage("bad", "good", bad=LoadFailed(REASON)) as s:
            await asyncio.sleep(60 + 120 + 240 + 300 + 300 + 10)
            times = [at for name, at in s.load.loaded if name == "bad"]
            pauses = [later - earlier for earlier, later in pairwise(times)]
            assert pauses == pytest.approx([60, 120, 240, RETRY_LAST_S, RETRY_LAST_S], abs=0.5)

    virtual_time.run(scenario(), limit_s=2000)


@pytest.mark.usefixtures("simulated")
def test_an_error_of_the_backend_itself_is_a_reason_too():
    async def scenario() -> None:
        async with stage("bad", "good", bad=ValueError("of a library")) as s:
            await asyncio.sleep(2)
            assert await s.world.ask("t", pipeline="good") == "good says t"
            view = s.view("bad")
            assert (view.state, view.reason) == ("failed", "It could not be loaded: ValueError('of a library').")

    virtual_time.run(scenario())


@pytest.mark.usefixtures("simulated")
def test_a_host_of_which_all_pipelines_fail_goes_on_trying_and_is_not_ready():
    async def scenario() -> None:
        async with stage("a", "b", a=LoadFailed(REASON), b=LoadFailed(REASON)) as s:
            await asyncio.sleep(30)
            was_ready, has_ended = s.host.was_ready, s.ends.done()
            assert (was_ready, has_ended) == (False, False)
            s.load.failing.clear()
            await asyncio.sleep(RETRY_FIRST_S)
            assert s.host.was_ready
            assert await s.world.ask("t", pipeline="b") == "b says t"

    virtual_time.run(scenario())


@pytest.mark.usefixtures("simulated")
def test_while_one_loads_the_web_process_knows_how_far_it_is():
    async def scenario() -> None:
        async with stage("a", "b") as s:
            loads, go = asyncio.Event(), asyncio.Event()

            async def load_slowly(self: Any, call: Callable[[], Any], *_: Any, **__: Any) -> Any:
                outcome = call()
                loads.set()
                await go.wait()
                return outcome

            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(SimulatedExecutor, "run", load_slowly)
                await loads.wait()
            await asyncio.sleep(2)
            assert (s.view("a").state, s.view("a").reason) == ("starting", "loading weights")
            assert (s.view("b").state, s.view("b").reason) == ("starting", "")
            go.set()
            assert await s.world.ask("t", pipeline="b") == "b says t"

    virtual_time.run(scenario())


@pytest.mark.usefixtures("simulated")
def test_a_host_that_drains_loads_nothing_more():
    async def scenario() -> None:
        async with stage("bad", "good", bad=LoadFailed(REASON)) as s:
            await asyncio.sleep(RETRY_FIRST_S - 1)
            asking = asyncio.create_task(s.world.ask("hang", 100, pipeline="good"))
            await asyncio.sleep(0.1)
            s.load.failing.clear()
            draining = asyncio.create_task(s.host.drain(2.5))
            await asyncio.sleep(2)  # it would be loaded again by now
            states = {worker.state for worker in s.host.workers}
            await draining
            await s.ends
            assert states == {"draining"}
            assert [name for name, _ in s.load.loaded] == ["bad", "good"]
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    virtual_time.run(scenario())


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("text", ["t", "hang"], ids=["after the drain", "in the drain"])
def test_a_pipeline_whose_loading_ends_in_a_drain_or_after_it_is_not_served_and_closed(text: str):
    async def scenario() -> None:
        async with stage("a", "b") as s:
            while "b" not in s.load.models:  # noqa: ASYNC110 - loading sets no event
                await asyncio.sleep(0.001)
            assert s.host.workers[1].state == "starting"
            asking = asyncio.create_task(s.world.ask(text, 5, pipeline="a"))
            await asyncio.sleep(0.01)
            await s.host.drain(2)
            await s.ends
            assert s.host.workers[1].runner is None
            assert [s.load.models[name].closed for name in ("a", "b")] == [1, 1]
            await asyncio.gather(asking, return_exceptions=True)

    virtual_time.run(scenario())


@pytest.mark.usefixtures("simulated")
def test_a_pipeline_gets_the_weight_of_the_catalog():
    async def main() -> None:
        specs = [PipelineSpec("a", Conf(), weight=2.0), PipelineSpec("b", Conf())]
        world = World(1, workers=0)
        host = WorkerHost(world.layer, Conf(), Catalog(specs), Loader(world))
        running = asyncio.create_task(host.arun())
        await asyncio.sleep(1)
        shares = [worker._share for worker in host.workers]
        assert [share and share.weight for share in shares] == [2.0, 1.0]
        running.cancel()
        await asyncio.wait([running])
        await world.webs[0].stop()

    virtual_time.run(main())


@pytest.mark.usefixtures("simulated")
def test_the_end_of_one_model_gives_back_the_jobs_of_all():
    """They share the process: another host answers them at once, not only when this one is lost."""

    async def scenario() -> None:
        async with stage("a", "b") as s:
            await asyncio.sleep(1)
            hanging = asyncio.create_task(s.world.ask("hang", 30, pipeline="a"))
            await asyncio.sleep(0.01)
            other = s.world.start_worker()
            await asyncio.sleep(1)
            with pytest.raises(ModelHangs):
                await s.ends
            assert await s.world.ask("t", pipeline="b") == "b says t"
            hanging.cancel()
            await asyncio.wait([hanging])
            task = s.world.workers.pop(other)
            task.cancel()
            await asyncio.wait([task])

    virtual_time.run(scenario())


# One pipeline


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("error", [LoadFailed(REASON), ValueError("of a library")], ids=repr)
def test_a_host_whose_only_pipeline_fails_to_load_ends_with_its_error(error: Exception):
    async def scenario() -> None:
        async with stage(default=error) as s:
            with pytest.raises(type(error)) as raised:
                await s.ends
            assert raised.value is error
            assert not s.host.was_ready
            assert len(s.load.loaded) == 1

    virtual_time.run(scenario())


# With real threads


class Slow(ControlledPipeline):
    """One that says it takes long, so that a batch which is held does not look as if it hung."""

    def __init__(self) -> None:
        super().__init__(warm_up_costs=[(1, 1, 60_000.0), (1, 32, 60_000.0)])


@pytest.fixture
def hosts() -> Iterator[list[WorkerHost]]:
    made: list[WorkerHost] = []
    yield made
    for host in made:
        names = [thread.name for thread in threading.enumerate() if host.id in thread.name]
        assert names == [], "no thread of a host outlives it"


def specs(*names: str) -> Catalog:
    return Catalog(PipelineSpec(name, Conf(model=name)) for name in names)


@asynccontextmanager
async def running(host: WorkerHost) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(host.arun())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(PATIENCE_S):
            while any(host.id in thread.name for thread in threading.enumerate()):  # noqa: ASYNC110 - threads set no event
                await asyncio.sleep(0.005)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - threads set no event
            await asyncio.sleep(0.005)


async def test_one_that_loads_waits_for_a_long_call_of_another_without_being_taken_for_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch, hosts: list[WorkerHost]
):
    """The thread is told how many cores it may use: that call comes after the one that is in the model."""
    monkeypatch.setattr("inference.worker.watchdog.SHORTEST_LIMIT_S", 0.1)
    monkeypatch.setattr("inference.worker.watchdog.TICK_S", 0.05)
    first, second, may_load = Slow(), ControlledPipeline(), threading.Event()

    def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> ControlledPipeline:
        if conf.model == "first":
            return first
        assert may_load.wait(PATIENCE_S)
        return second

    host = WorkerHost(InMemoryChannelLayer(), Conf(deadline_s=0.1), specs("first", "second"), load)
    hosts.append(host)
    async with running(host) as task:
        await until(lambda: host.was_ready)
        first.gate.clear()
        job = Job(id=1, request_id="r", input="a", parameters={}, time_left_s=60.0)
        host._intake.submit(Submit("inference.web.a", (job,), host.workers[0].id))
        await until(lambda: bool(first.batches))
        may_load.set()
        await asyncio.sleep(0.6)
        assert not task.done()
        assert host.workers[1].state == "starting"
        first.gate.set()
        await until(lambda: host.workers[1].state == "ready")


async def test_a_pipeline_measures_on_the_models_thread_and_loads_on_one_of_its_own(hosts: list[WorkerHost]):
    where: dict[str, str] = {}
    made = ControlledPipeline()

    def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> ControlledPipeline:
        where["loads"] = threading.current_thread().name
        where["measures"] = turn(lambda: threading.current_thread().name)
        return made

    host = WorkerHost(InMemoryChannelLayer(), Conf(), specs("only"), load)
    hosts.append(host)
    async with running(host):
        await until(lambda: host.was_ready)
        assert where == {"loads": f"loader-{host.id}", "measures": f"model-{host.id}"}
        await until(lambda: not any("loader" in thread.name for thread in threading.enumerate()))


async def test_what_a_measurement_raises_fails_the_pipeline(hosts: list[WorkerHost]):
    def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> Any:
        def fail() -> None:
            raise LoadFailed(REASON)

        turn(fail)

    host = WorkerHost(InMemoryChannelLayer(), Conf(), specs("only"), load)
    hosts.append(host)
    async with running(host) as task:
        with pytest.raises(LoadFailed, match=REASON):
            await asyncio.wait_for(asyncio.shield(task), PATIENCE_S)


async def test_a_measurement_waits_for_the_batch_of_another_pipeline_and_a_host_that_ends_meanwhile_ends_it(
    hosts: list[WorkerHost],
):
    first, may_load = Slow(), threading.Event()
    seen: list[str] = []

    def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> Any:
        if conf.model == "first":
            return first
        assert may_load.wait(PATIENCE_S)
        for _ in range(2):
            try:
                seen.append("asks")
                turn(lambda: seen.append("measures"))
            except BaseException as error:
                seen.append(type(error).__name__)
        raise LoadFailed(REASON)

    host = WorkerHost(InMemoryChannelLayer(), Conf(), specs("first", "second"), load)
    hosts.append(host)
    async with running(host):
        await until(lambda: host.was_ready)
        first.gate.clear()
        job = Job(id=1, request_id="r", input="a", parameters={}, time_left_s=60.0)
        host._intake.submit(Submit("inference.web.a", (job,), host.workers[0].id))
        await until(lambda: bool(first.batches))
        may_load.set()
        await until(lambda: seen == ["asks"])
        await asyncio.sleep(0.05)
        assert seen == ["asks"]
        asyncio.get_running_loop().call_later(0.05, first.gate.set)
    assert seen == ["asks", "CancelledError"] * 2
