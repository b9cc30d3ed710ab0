"""Texts that are generated in one call each: how long a call may take, what it counts as, and when it ends early.

In the first half the worker, the dispatcher and the watchdog are real; the model's time is virtual.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.backends.base import Outcome
from inference.backends.transformers import backend
from inference.backends.transformers.warm_up import measure
from inference.conf import Conf
from inference.errors import DeadlineExceeded
from inference.messaging.messages import Job
from tests import virtual_time
from tests.simulation import DESCRIPTION, SimulatedExecutor, SimulatedModel, SimulatedTokens, World

STEP_S = 0.06
READY_S = 3.0
"""After it a worker has loaded: it has run its warm-up by then."""
TEXT: dict[str, Any] = {"max_new_tokens": 150, "seed": 0}
TOO_FEW = {"min_new_tokens": 5, "max_new_tokens": 4}
TOKENS = 7
"""Of each text, where it ends by itself."""


@dataclass(eq=False)
class Steps:
    job: Job
    tokens: int
    longest: int = 1
    sequences: int = 1
    stopped: bool = False

    def stop(self) -> None:
        self.stopped = True


class SlowWriter(SimulatedModel):
    """One text per call, a step of ``STEP_S`` for each token. ``short`` ends after ``TOKENS``."""

    shares_calls = False
    pads = False
    concurrent_batches = 1
    warm_up_costs: Sequence[tuple[int, int, float]] = ()
    computed_s = 0.0
    """What all calls so far have taken: the clock that the cost model is told by."""

    def __init__(self, ran: Callable[[list[str]], None] = lambda texts: None) -> None:
        super().__init__(ran)
        self.description = msgspec.structs.replace(DESCRIPTION, task="text-generation")
        self.calls: list[int] = []
        self.warm_up_costs = measure(self)

    def prepare(self, jobs: Sequence[Job]) -> list[Any]:
        return [Steps(job, job.parameters["max_new_tokens"]) for job in jobs]

    def run(self, batch: Sequence[Any]) -> list[Outcome]:
        self.calls.append(len(batch))
        for item in batch:
            if "short" in item.job.input:
                item.tokens = TOKENS
            type(self).computed_s += item.tokens * STEP_S
        return super().run([SimulatedTokens(item.job.input) for item in batch])


class ComputingExecutor(SimulatedExecutor):
    """A call takes the time that its model has computed."""

    async def run(self, call: Callable[[], Any], predicted_ms: float | None = None, *, watched: bool = True) -> Any:
        predicted_s = None if predicted_ms is None else predicted_ms / 1000
        with self.watchdog.watching(self._name, predicted_s) if self.watchdog and watched else nullcontext():
            began = SlowWriter.computed_s
            outcome = call()
            await asyncio.sleep(max(0.001, SlowWriter.computed_s - began))
            return outcome


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[SlowWriter]:
    """The models of the workers that start."""
    made: list[SlowWriter] = []

    def make(ran: Callable[[list[str]], None], *_: str) -> SlowWriter:
        made.append(SlowWriter(ran))
        return made[-1]

    for module in ("inference.worker.batching.batcher", "inference.backends.transformers.warm_up"):
        monkeypatch.setattr(f"{module}.compute_clock", lambda description: lambda: SlowWriter.computed_s)
    for module in ("host", "loading"):
        monkeypatch.setattr(f"inference.worker.{module}.ThreadExecutor", ComputingExecutor)
    monkeypatch.setattr("tests.simulation.SimulatedModel", make)
    return made


def test_a_text_may_take_as_long_as_it_was_asked_to_be(writers: list[SlowWriter]) -> None:
    """9 s, where the watchdog's least is 5 s."""

    async def scenario() -> None:
        world = World(1, workers=1)
        await world.settle(READY_S)
        began = asyncio.get_running_loop().time()
        assert await world.ask("t", **TEXT) == "t"
        assert 9 <= asyncio.get_running_loop().time() - began < 10
        assert (world.hangs, world.kills) == (0, 0)

    virtual_time.run(scenario())


def test_texts_that_end_early_do_not_make_a_long_one_look_as_if_it_hung(writers: list[SlowWriter]) -> None:
    async def scenario() -> None:
        world = World(1, workers=1)
        await world.settle(READY_S)
        for number in range(200):
            await world.ask(f"short {number}", **TEXT)
        assert await world.ask("t", **TEXT | {"max_new_tokens": 400}) == "t"
        assert world.hangs == 0

    virtual_time.run(scenario())


def test_a_text_that_hangs_is_noticed_all_the_same(writers: list[SlowWriter]) -> None:
    async def scenario() -> None:
        world = World(1, workers=1)
        await world.settle(READY_S)
        asking = asyncio.create_task(world.ask("hang", deadline_s=30, **TEXT))
        await asyncio.sleep(29)
        assert world.hangs == 1
        with pytest.raises(DeadlineExceeded):
            await asking

    class Endless(ComputingExecutor):
        async def run(self, call: Callable[[], Any], predicted_ms: float | None = None, *, watched: bool = True) -> Any:
            return await SimulatedExecutor.run(self, call, predicted_ms, watched=watched)

    with pytest.MonkeyPatch.context() as hanging:
        for module in ("host", "loading"):
            hanging.setattr(f"inference.worker.{module}.ThreadExecutor", Endless)
        virtual_time.run(scenario())


def test_each_text_has_a_call_of_its_own_and_one_that_is_too_late_has_none(writers: list[SlowWriter]) -> None:
    """Three of 9 s each are answered one after the other; the fourth would begin after its deadline.

    Each is another web process's: the worker holds all of them from the beginning.
    """

    async def scenario() -> None:
        world = World(1, webs=4, workers=1)
        await world.settle(READY_S)
        asked = []
        for web in range(3):
            asked.append(asyncio.create_task(world.ask(f"t{web}", 28, web, **TEXT)))
            await asyncio.sleep(0.1)
        late = asyncio.create_task(world.ask("late", 20, 3, **TEXT))
        began = asyncio.get_running_loop().time()
        assert await asked[0] == "t0"
        assert asyncio.get_running_loop().time() - began < 10
        assert await asyncio.gather(*asked) == ["t0", "t1", "t2"]
        with pytest.raises(DeadlineExceeded):
            await late
        [writer] = writers
        assert set(writer.calls) == {1}
        assert world.batches[-3:] == [["t0"], ["t1"], ["t2"]]

    virtual_time.run(scenario())


def test_a_text_that_is_cancelled_is_told_to_stop(writers: list[SlowWriter], monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        world = World(1, workers=1)
        await world.settle(READY_S)
        prepared: list[Steps] = []

        def keep(items: list[Steps]) -> list[Steps]:
            prepared.extend(items)
            return items

        [writer] = writers
        prepare = writer.prepare
        monkeypatch.setattr(writer, "prepare", lambda jobs: keep(prepare(jobs)))
        asked = asyncio.create_task(world.ask("t", **TEXT))
        await asyncio.sleep(1)
        assert [item.stopped for item in prepared] == [False]
        asked.cancel()
        await asyncio.sleep(1)
        assert [item.stopped for item in prepared] == [True]

    virtual_time.run(scenario())


# The real pipeline


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tests import tiny_models  # noqa: PLC0415 - imports torch

    return load(tiny_models.bloom(tmp_path_factory.mktemp("models") / "bloom"))


def load(folder: Path) -> Any:
    made = backend.load(Conf(model=str(folder), threads=1), lambda progress: None)
    assert not made.shares_calls
    return made


def prepare(made: Any, text: Any, time_left_s: float = 60, **parameters: Any) -> Any:
    asked = {"do_sample": False} | parameters
    [item] = made.prepare([Job(id=0, request_id="r", input=text, parameters=asked, time_left_s=time_left_s)])
    return item


def passes(made: Any, item: Any) -> int:
    """Calls of the model that a text took."""
    calls: list[Any] = []
    hook = made._pipe.model.register_forward_hook(lambda *of: calls.append(of))
    [outcome] = made.run([item])
    hook.remove()
    assert isinstance(outcome, bytes)
    return len(calls)


def test_who_asks_for_more_than_the_text_is_told(whole: Any) -> None:
    given = Job(id=0, request_id="r", input="once", parameters={"max_new_tokens": 2, "top_n_tokens": 0}, time_left_s=60)
    [fine] = whole.prepare([given])
    assert b"generated_text" in whole.run([fine])[0]
    [refused] = whole.prepare([msgspec.structs.replace(given, parameters={"top_n_tokens": 2})])
    assert refused.message == ("This model generates texts as a whole, without their tokens; leave top_n_tokens out.")


def test_penalties_and_biases_are_those_of_texts_that_run_together(whole: Any) -> None:
    from tests.generating import ADJUSTED, greedily  # noqa: PLC0415 - imports torch

    model, tokenizer = whole._pipe.model, whole._pipe.tokenizer
    for asked in ADJUSTED:
        item = prepare(whole, "a boat", **asked, return_full_text=False)
        [made] = json.loads(whole.run([item])[0])
        wanted = greedily(model, item.rows[0].inputs["input_ids"], asked)
        assert made["generated_text"] == tokenizer.decode(wanted, skip_special_tokens=True), asked
    [refused] = whole.prepare([Job(id=0, request_id="r", input="a", parameters=TOO_FEW, time_left_s=60)])
    assert refused.message.startswith("Parameter min_new_tokens is 5; this text may get 4 tokens")


def test_a_prompt_may_be_token_ids(whole: Any) -> None:
    ids = whole._pipe.tokenizer("the old river")["input_ids"]
    for parameters in ({}, {"return_full_text": False}, {"stop": ["e"], "seed": 3, "do_sample": True}):
        items = [
            prepare(whole, given, max_new_tokens=9, **parameters) for given in ("the old river", {"token_ids": ids})
        ]
        text, same = whole.run(items)
        assert json.loads(text) == json.loads(same)
        assert items[0].input_tokens == items[1].input_tokens == len(ids)


def test_warm_up_tells_what_a_step_costs(whole: Any) -> None:
    assert [(jobs, steps) for jobs, steps, _ in whole.warm_up_costs] == [(1, 2), (1, 16)]


def test_a_text_counts_as_what_it_may_come_to_and_then_as_what_it_came_to(whole: Any) -> None:
    item = prepare(whole, "the old river", max_new_tokens=20)
    assert (item.tokens, item.longest) == (20, 20)
    assert item.tokens == passes(whole, item) == 20
    written = json.loads(whole.run([item])[0])[0]["generated_text"].removeprefix("the old river")

    stopped = prepare(whole, "the old river", max_new_tokens=20, stop=[next(filter(str.isascii, written[:-1]))])
    assert stopped.tokens == 20
    assert passes(whole, stopped) == stopped.tokens < 20

    prompt = "a small boat on the old river " * 20
    long = prepare(whole, prompt, max_new_tokens=5)
    assert long.tokens == 5 + long.prompt_tokens // 32 > 5
    assert passes(whole, long) == 5
    assert long.tokens == 5 + long.prompt_tokens // 32


def test_without_a_limit_of_its_own_a_text_counts_as_the_one_that_applies(whole: Any) -> None:
    longest = whole.description.longest_input
    short = prepare(whole, "a boat")
    assert short.tokens == 256
    long = prepare(whole, "a small boat on the old river " * 40)
    assert longest - 256 < long.prompt_tokens < longest
    assert long.tokens == longest - long.prompt_tokens + long.prompt_tokens // 32


def test_steps_are_counted_where_beams_are_searched(tmp_path: Path) -> None:
    from tests import tiny_models  # noqa: PLC0415 - imports torch

    folder = tiny_models.decoder(tmp_path / "beams", "Llama", intermediate_size=48, eos_token_id=None)
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_beams": 3}))
    beams = load(folder)
    item = prepare(beams, "a boat", max_new_tokens=9)
    assert passes(beams, item) == item.tokens == 9


def test_who_is_not_waited_for_does_not_keep_the_model(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    left = prepare(whole, "a boat", max_new_tokens=200)
    left.stop()
    whole.run([left])
    assert left.tokens == 1

    late = prepare(whole, "a boat", time_left_s=4.5, max_new_tokens=200)
    seconds = iter(range(1000))
    monkeypatch.setattr(
        "inference.backends.transformers.unbatched.time", type("Clock", (), {"monotonic": lambda: next(seconds)})
    )
    whole.run([late])
    assert late.tokens == 5
