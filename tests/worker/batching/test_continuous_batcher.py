"""The loop that generates, with a model that is controlled and a clock that is virtual."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from inference.backends.base import FAILED, Generated, TextFigures
from inference.errors import InferenceError, Invalid
from inference.messaging.messages import Cleared, Closing, Error, Event, Job, Result, Returned, Started, Token
from inference.worker.batching.continuous_batcher import (
    CLEARED_TOKENS,
    EXTRA_CREDIT,
    ContinuousBatcher,
)
from inference.worker.batching.policy import BatchLimits
from inference.worker.batching.prompt_pace import LEAST_TOKENS, SLOWER
from inference.worker.executors import Executors
from inference.worker.item import Item
from inference.worker.job_runner import GO_TIMEOUT_S
from inference.worker.turns import Turns
from tests.virtual_time import run
from tests.worker.bench import VirtualThread, describe

STEP_S = 0.125
CHANNEL = "inference.web.a"


@dataclass(eq=False)
class Count:
    """Text that counts its tokens; its input is ``<tokens> [fault] [fault's index] [reserved]``."""

    job: Job
    length: int
    fault: str = ""
    reserved: int = 1
    done: int = 0
    tokens: int = 3
    longest: int = 3
    sequences: int = 1
    input_tokens: int = 3


@dataclass(eq=False)
class CountingPipeline:
    description: Any = field(default_factory=lambda: describe("text-generation"))
    warm_up_costs: Sequence[tuple[int, int, float]] = ()
    steps: list[list[int]] = field(default_factory=list)
    """Ids of the jobs in each step that was tried."""
    retained: list[set[int]] = field(default_factory=list)
    prompt_tokens: list[int | None] = field(default_factory=list)
    """What each step was told of prompts."""

    def prepare(self, jobs: Sequence[Job]) -> Sequence[Count | InferenceError]:
        return [
            Invalid("It is too long.") if job.input == "long" else Count(job, **job.parameters, done=len(job.resume))
            for job in jobs
        ]

    def cache_tokens(self, prepared: Collection[Count]) -> int:
        return sum(text.reserved for text in prepared)

    def close(self) -> None:
        pass

    def retain(self, prepared: Collection[Count]) -> None:
        self.retained.append({text.job.id for text in prepared})

    def use_threads(self, threads: int) -> None: ...

    def step_tokens(self, prepared: Sequence[Count], prompt_tokens: int | None = None) -> int:
        return len(prepared)

    def step(
        self, prepared: Sequence[Count], prompt_tokens: int | None = None
    ) -> list[Generated | InferenceError | None]:
        self.steps.append([text.job.id for text in prepared])
        self.prompt_tokens.append(prompt_tokens)
        if any(text.fault == "raises" and text.done == 2 for text in prepared):
            raise ValueError("poison")
        return [self._next(text) for text in prepared]

    def _next(self, text: Count) -> Generated | InferenceError | None:
        if text.fault == "refused":
            return Invalid("Not this one.")
        if text.fault == "slow" and self.steps and sum(text.job.id in ids for ids in self.steps) < 3:
            return None
        text.done += 1
        end = text.done >= text.length
        return Generated(
            index=text.done - 1,
            token=text.done,
            text=f"{text.done} ",
            logprob=-0.5,
            special=False,
            finish_reason="length" if end else None,
            output=b"[%d]" % text.done if end else b"",
        )


class Bench:
    def __init__(self, limits: BatchLimits, pipeline: CountingPipeline | None = None) -> None:
        self.pipeline = pipeline or CountingPipeline()
        self.thread = VirtualThread(STEP_S)
        self.turns = Turns(Executors(VirtualThread(0.0), self.thread))
        self.batcher = ContinuousBatcher(self.pipeline, self.turns.join(), limits, self)
        self.closings: dict[int, Closing] = {}
        self.events: dict[int, list[Event]] = {}
        self.gives_go = True
        self._closed = asyncio.Event()

    def add(
        self, job_id: int, length: int, time_left_s: float = 60.0, *, may_clear: bool = True, **fields: Any
    ) -> None:
        known = {name: fields.pop(name) for name in ("fault", "reserved") if name in fields}
        job = Job(
            id=job_id,
            request_id=f"r{job_id}",
            input=fields.pop("input", "a text"),
            parameters={"length": length} | known,
            time_left_s=time_left_s,
            events=True,
            **({"tokens": True} | fields),
        )
        self.batcher.add(Item((CHANNEL, job_id), job, asyncio.get_running_loop().time(), may_clear=may_clear))

    async def closed(self, *ids: int) -> None:
        while not set(ids) <= self.closings.keys():
            self._closed.clear()
            await self._closed.wait()

    def result(self, job_id: int) -> Result:
        closing = self.closings[job_id]
        assert isinstance(closing, Result), closing
        return closing

    def texts(self, job_id: int) -> str:
        """All that was said of a job, joined."""
        said = "".join(event.text for event in self.events.get(job_id, ()) if isinstance(event, Token))
        last = self.result(job_id).generation
        assert last is not None
        assert last.last is not None
        return said + last.last.text

    def event(self, item: Item, event: Event) -> None:
        assert item.job.id == event.id
        assert event.id not in self.closings, "nothing is said of a job that is closed"
        self.events.setdefault(event.id, []).append(event)
        if isinstance(event, Started) and item.alone and self.gives_go:
            self.batcher.go(item.key)

    def close(self, item: Item, closing: Closing) -> None:
        assert item.job.id == closing.id
        assert closing.id not in self.closings, "a job is closed once"
        self.closings[closing.id] = closing
        self._closed.set()

    async def taken(self, item: Item) -> None:
        assert item.job.id in self.closings


@asynccontextmanager
async def bench(places: int = 4, tokens: int = 1000, pipeline: CountingPipeline | None = None) -> AsyncIterator[Bench]:
    made = Bench(BatchLimits(max_batch_size=places, max_batch_tokens=tokens), pipeline)
    loop = asyncio.get_running_loop().create_task(made.batcher.run())
    try:
        yield made
        assert not loop.done(), "the loop outlives everything"
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


def scenario(play: Callable[[Bench], Any], **options: Any) -> Bench:
    async def main() -> Bench:
        async with bench(**options) as b:
            await play(b)
            return b

    return run(main())


def test_a_newcomer_joins_between_two_tokens_and_each_leaves_at_its_end():
    async def play(b: Bench) -> None:
        b.add(0, 6)
        await asyncio.sleep(2.5 * STEP_S)
        b.add(1, 2)
        await b.closed(0, 1)
        await asyncio.sleep(2 * STEP_S)

    b = scenario(play)
    together = [ids for ids in b.pipeline.steps if ids == [0, 1]]
    assert len(together) == 2
    assert len(b.pipeline.steps) == 6
    assert b.pipeline.retained[-1] == set(), "the cache is empty at the end"
    assert b.result(1).batch_size == 2
    shares = [b.result(job).model_ms / (STEP_S * 1000) for job in (0, 1)]
    assert shares == pytest.approx([4 + 2 / 2, 2 / 2]), "what they shared is divided"


def test_tokens_are_said_in_order_and_the_last_with_the_result():
    async def play(b: Bench) -> None:
        b.add(0, 4)
        await b.closed(0)

    b = scenario(play)
    started, *tokens = b.events[0]
    assert started == Started(0, 1)
    assert tokens == [Token(0, n, n + 1, f"{n + 1} ", -0.5) for n in range(3)]
    generation = b.result(0).generation
    assert generation is not None
    assert (generation.finish_reason, generation.prompt_tokens, generation.generated_tokens) == ("length", 3, 4)
    assert generation.last == Token(0, 3, 4, "4 ", -0.5)
    assert abs(generation.token_ms - STEP_S * 1000) < 1
    assert generation.first_token_ms >= STEP_S * 1000
    assert b.result(0).output == b"[4]"
    assert (b.result(0).tokens, b.result(0).truncated) == (3, False)


def test_no_tokens_are_sent_where_none_were_asked_for():
    async def play(b: Bench) -> None:
        b.add(0, 4, tokens=False)
        await b.closed(0)

    b = scenario(play)
    assert b.events[0] == [Started(0, 1)]
    generation = b.result(0).generation
    assert generation is not None
    assert (generation.generated_tokens, generation.last) == (4, None)


def test_one_that_resumes_says_only_what_is_new():
    async def play(b: Bench) -> None:
        b.add(0, 5, resume=(7, 8, 9))
        await b.closed(0)

    b = scenario(play)
    assert [event.index for event in b.events[0] if isinstance(event, Token)] == [3]
    generation = b.result(0).generation
    assert generation is not None
    assert (generation.generated_tokens, b.texts(0)) == (5, "4 5 ")


def test_who_is_cancelled_leaves_with_the_step_that_runs():
    async def play(b: Bench) -> None:
        b.add(0, 50)
        b.add(1, 5)
        await asyncio.sleep(2.5 * STEP_S)
        b.batcher.cancel((CHANNEL, 0))
        steps = len(b.pipeline.steps)
        await b.closed(0)
        assert len(b.pipeline.steps) <= steps + 1
        await b.closed(1)
        assert all(0 not in ids for ids in b.pipeline.retained[steps + 1 :])

    b = scenario(play)
    assert b.closings[0] == Returned(0, "cancelled")
    assert b.texts(1) == "1 2 3 4 5 "


def test_who_expires_leaves_whether_it_runs_or_waits():
    async def play(b: Bench) -> None:
        b.add(0, 100, time_left_s=3.5 * STEP_S)
        b.add(1, 30)
        b.add(2, 5, time_left_s=2.5 * STEP_S)
        await b.closed(0, 2)
        assert len(b.pipeline.steps) <= 5
        await b.closed(1)

    b = scenario(play, places=2)
    assert (b.closings[0], b.closings[2]) == (Returned(0, "expired"), Returned(2, "expired"))


def test_places_are_bounded_and_taken_in_order_of_arrival():
    async def play(b: Bench) -> None:
        for job_id in range(7):
            b.add(job_id, 2 + job_id % 3)
        await b.closed(*range(7))

    b = scenario(play, places=3)
    assert max(map(len, b.pipeline.steps)) == 3
    first_seen = list(dict.fromkeys(job_id for ids in b.pipeline.steps for job_id in ids))
    assert first_seen == list(range(7))


def test_cache_is_reserved_and_none_overtakes_a_long_one():
    async def play(b: Bench) -> None:
        b.add(0, 4, reserved=60)
        b.add(1, 2, reserved=60)
        b.add(2, 2, reserved=10)
        await b.closed(0, 1, 2)

    b = scenario(play, tokens=100)
    assert b.pipeline.steps[:4] == [[0]] * 4
    assert b.pipeline.steps[4:] == [[1, 2], [1, 2]]


def test_who_joins_is_decided_by_what_the_pipelines_cache_takes():
    """Here rows come in pairs: a third text would need more than there is, although a row of its own would fit."""

    async def play(b: Bench) -> None:
        b.pipeline.cache_tokens = lambda prepared: 80 * -(-len(prepared) // 2)  # type: ignore[method-assign]
        for job_id in range(5):
            b.add(job_id, 2)
        await b.closed(*range(5))

    b = scenario(play, tokens=120)
    assert b.pipeline.steps == [[0, 1]] * 2 + [[2, 3]] * 2 + [[4]] * 2


def test_a_step_that_fails_fails_its_culprit_alone():
    async def play(b: Bench) -> None:
        for job_id in range(5):
            b.add(job_id, 6, fault="raises" if job_id == 3 else "")
        await b.closed(*range(5))

    b = scenario(play, places=5)
    assert b.closings[3] == Error(3, "inference", FAILED)
    assert [b.texts(job_id) for job_id in (0, 1, 2, 4)] == ["1 2 3 4 5 6 "] * 4


def test_an_error_of_one_is_its_own():
    async def play(b: Bench) -> None:
        b.add(0, 3)
        b.add(1, 3, fault="refused")
        b.add(2, 3, input="long")
        await b.closed(0, 1, 2)

    b = scenario(play)
    assert b.texts(0) == "1 2 3 "
    assert b.closings[1] == Error(1, "validation", "Not this one.")
    assert b.closings[2] == Error(2, "validation", "It is too long.")


def test_a_suspect_runs_with_nothing_else_in_the_model():
    async def play(b: Bench) -> None:
        b.add(0, 4)
        await asyncio.sleep(1.5 * STEP_S)
        b.add(1, 3, alone=True)
        b.add(2, 2)
        await b.closed(0, 1, 2)

    b = scenario(play)
    assert all(ids == [1] for ids in b.pipeline.steps if 1 in ids)
    assert [b.texts(job_id) for job_id in range(3)] == ["1 2 3 4 ", "1 2 3 ", "1 2 "]


def test_a_suspect_without_go_is_given_back():
    async def play(b: Bench) -> None:
        b.gives_go = False
        b.add(0, 3, alone=True)
        b.add(1, 1)
        await asyncio.sleep(GO_TIMEOUT_S + 3 * STEP_S)
        await b.closed(0, 1)

    b = scenario(play)
    assert b.closings[0] == Returned(0, "no_go")
    assert b.texts(1) == "1 "


def test_a_suspect_that_is_cancelled_leaves_too():
    async def play(b: Bench) -> None:
        b.add(0, 1000, alone=True)
        await asyncio.sleep(3.5 * STEP_S)
        b.batcher.cancel((CHANNEL, 0))
        await b.closed(0)
        await asyncio.sleep(2 * STEP_S)
        assert len(b.pipeline.steps) < 6
        assert b.pipeline.retained[-1] == set()

    assert scenario(play).closings[0] == Returned(0, "cancelled")


def test_a_suspect_that_has_generated_enough_goes_on_beside_others():
    async def play(b: Bench) -> None:
        b.add(0, CLEARED_TOKENS + 10, alone=True)
        b.add(1, 5)
        await b.closed(0, 1)

    b = scenario(play)
    assert b.pipeline.steps[:CLEARED_TOKENS] == [[0]] * CLEARED_TOKENS
    assert b.pipeline.steps[CLEARED_TOKENS:] == [[0]] + [[0, 1]] * 5 + [[0]] * 4, "the other is tokenised meanwhile"
    kinds = [type(event) for event in b.events[0]]
    assert kinds == [Started, *[Token] * CLEARED_TOKENS, Cleared, *[Token] * 9]
    assert b.texts(0) == "".join(f"{n + 1} " for n in range(CLEARED_TOKENS + 10))
    assert b.texts(1) == "1 2 3 4 5 "


def test_what_a_suspect_came_with_does_not_clear_it():
    async def play(b: Bench) -> None:
        b.add(0, 2 * CLEARED_TOKENS + 2, alone=True, resume=tuple(range(CLEARED_TOKENS)))
        b.add(1, 1)
        await b.closed(0, 1)

    b = scenario(play)
    assert b.pipeline.steps == [[0]] * (CLEARED_TOKENS + 1) + [[0, 1]]


def test_a_suspect_that_ends_with_the_token_that_would_clear_it_is_not_cleared():
    async def play(b: Bench) -> None:
        b.add(0, CLEARED_TOKENS, alone=True)
        await b.closed(0)

    assert Cleared(0) not in scenario(play).events[0]


def test_a_web_process_of_the_release_before_is_never_told_that_a_suspect_is_cleared():
    """It could read nothing of the envelope. To it the job is a suspect to its end, and so it is here."""

    async def play(b: Bench) -> None:
        b.add(0, CLEARED_TOKENS + 10, alone=True, may_clear=False)
        b.add(1, 5)
        await b.closed(0, 1)

    b = scenario(play)
    assert b.pipeline.steps == [[0]] * (CLEARED_TOKENS + 10) + [[1]] * 5
    assert {type(event) for event in b.events[0]} == {Started, Token}


def test_one_that_was_cleared_is_cancelled_like_any_other():
    async def play(b: Bench) -> None:
        b.add(0, 10_000, alone=True, time_left_s=1000)
        b.add(1, 10)
        await b.closed(1)
        b.batcher.cancel((CHANNEL, 0))
        await b.closed(0)
        await asyncio.sleep(2 * STEP_S)
        assert b.pipeline.retained[-1] == set()

    assert scenario(play).closings[0] == Returned(0, "cancelled")


class Neighbour:
    """Another pipeline of the host: it has a batch whenever it gets a turn, for some time."""

    def __init__(self, b: Bench) -> None:
        self.share = b.turns.join()
        self.turns_s: list[float] = []
        """When each of its batches began."""

    async def run(self, batches: int, batch_s: float) -> None:
        self.share.has_work = lambda: True
        loop = asyncio.get_running_loop()
        for _ in range(batches):
            await self.share.turn(batch_s * 1000)
            self.turns_s.append(loop.time())
            await asyncio.sleep(batch_s)
            self.share.give_back(self.share.executors.wide, look=False)
        self.share.has_work = lambda: False
        self.share.look()


@pytest.mark.parametrize(("batches", "steps_each"), [(20, 0.5), (10, 1), (5, 2)])
def test_the_steps_of_two_pipelines_alternate_by_their_time(batches: int, steps_each: float):
    async def play(b: Bench) -> None:
        neighbour = Neighbour(b)
        b.add(0, 1000, time_left_s=1000)
        await asyncio.sleep(10.5 * STEP_S)
        steps = len(b.pipeline.steps)
        await neighbour.run(batches, steps_each * STEP_S)
        assert abs(len(b.pipeline.steps) - steps - 10) <= 1

    scenario(play)


def test_who_waits_gets_its_turn_when_the_last_text_has_ended():
    async def play(b: Bench) -> None:
        neighbour = Neighbour(b)
        b.add(0, 1)
        await asyncio.sleep(STEP_S / 2)
        await asyncio.wait_for(neighbour.run(1, STEP_S), 10 * STEP_S)

    scenario(play)


def test_while_it_waits_for_its_turn_the_model_has_another():
    async def play(b: Bench) -> None:
        neighbour = Neighbour(b)
        running = asyncio.create_task(neighbour.run(1, 5.0))
        await asyncio.sleep(0)
        b.add(0, 2)
        await asyncio.sleep(4.9)
        assert b.pipeline.steps == []
        await b.closed(0)
        await running

    assert scenario(play).texts(0) == "1 2 "


def test_who_is_cancelled_or_expires_while_it_waits_for_its_turn_never_runs():
    async def play(b: Bench) -> None:
        neighbour = Neighbour(b)
        running = asyncio.create_task(neighbour.run(1, 5.0))
        await asyncio.sleep(0)
        b.add(0, 2)
        b.add(1, 2, time_left_s=2)
        await asyncio.sleep(1)
        b.batcher.cancel((CHANNEL, 0))
        await b.closed(0, 1)
        await running
        await asyncio.sleep(1)
        assert b.pipeline.steps == []
        b.add(2, 2)
        await b.closed(2)

    b = scenario(play)
    assert (b.closings[0], b.closings[1]) == (Returned(0, "cancelled"), Returned(1, "expired"))


def test_less_of_a_prompt_is_read_in_one_step_while_another_pipeline_waits():
    """A step of 125 ms is longer than a turn: it reads as little as makes sense."""

    async def play(b: Bench) -> None:
        b.pipeline.step_tokens = lambda prepared, prompt_tokens=None: 10 + len(prepared)  # type: ignore[method-assign]
        b.add(0, 20)
        await b.closed(0)
        assert set(b.pipeline.prompt_tokens) == {None}
        b.pipeline.prompt_tokens.clear()
        neighbour = Neighbour(b)
        b.add(1, 20)
        await neighbour.run(10, STEP_S)
        assert LEAST_TOKENS in b.pipeline.prompt_tokens
        told = len(b.pipeline.prompt_tokens)
        await b.closed(1)
        assert set(b.pipeline.prompt_tokens[told + 1 :]) == {None}

    scenario(play)


def test_draining_gives_back_what_waits_and_finishes_what_runs():
    async def play(b: Bench) -> None:
        b.add(0, 5)
        b.add(1, 5)
        await asyncio.sleep(1.5 * STEP_S)
        b.batcher.return_waiting("draining")
        await b.closed(0, 1)

    b = scenario(play, places=1)
    assert b.closings[1] == Returned(1, "draining")
    assert b.texts(0) == "1 2 3 4 5 "


def test_nothing_is_said_while_a_prompt_is_read():
    async def play(b: Bench) -> None:
        b.add(0, 2, fault="slow")
        await b.closed(0)

    b = scenario(play)
    assert len(b.pipeline.steps) == 4
    assert b.texts(0) == "1 2 "


def test_what_a_job_costs_is_its_share_of_the_steps():
    async def play(b: Bench) -> None:
        for job_id in range(400):
            b.add(job_id, 8, time_left_s=1000)
        await b.closed(*range(400))

    b = scenario(play, places=4)
    assert abs(b.batcher.cost.job_ms - 8 * STEP_S * 1000 / 4) < 20
    assert (b.batcher.totals.jobs, b.batcher.totals.batches) == (400, 800)
    assert b.batcher.totals.tokens == b.batcher.totals.padded_tokens == 400 * 11
    assert b.batcher.credit == 4 + EXTRA_CREDIT


@dataclass(eq=False)
class WordsPipeline(CountingPipeline):
    """Three tokens of each text in a step. It may cost 100 tokens for each text, and costs 50."""

    warm_up_costs: Sequence[tuple[int, int, float]] = ((1, 50, 125.0), (1, 100, 250.0), (4, 200, 500.0))
    computed_tokens: int = 50

    def step_tokens(self, prepared: Sequence[Count], prompt_tokens: int | None = None) -> int:
        return 100 * len(prepared)

    def _next(self, text: Count) -> Any:
        most = text.length - text.done
        return [super(WordsPipeline, self)._next(text) for _ in range(min(3, most))]


def test_a_step_may_say_several_tokens_and_be_long():
    """Then its cost is known from the first one: before it the most that it may be, afterwards what it was."""
    predicted: list[float] = []

    async def play(b: Bench) -> None:
        assert b.batcher.cost.job_ms == 125
        step = b.thread.run

        async def noted(call: Callable[[], Any], predicted_ms: float | None = 0.0, **more: Any) -> Any:
            assert predicted_ms is not None
            predicted.append(predicted_ms)
            return await step(call, predicted_ms, **more)

        b.thread.run = noted  # type: ignore[method-assign]
        b.add(0, 8)
        b.add(1, 300)
        await b.closed(0, 1)

    b = scenario(play, pipeline=WordsPipeline())
    assert b.texts(0) == "1 2 3 4 5 6 7 8 "
    assert [ids for ids in b.pipeline.steps if 0 in ids] == [[0, 1]] * 3
    generation = b.result(0).generation
    assert generation is not None
    assert (generation.generated_tokens, generation.finish_reason) == (8, "length")
    assert predicted[0] == pytest.approx(500), "as at warm-up"
    assert predicted[90] == pytest.approx(250, rel=0.1), "a step took 125 ms, but not all that it might"


@dataclass(eq=False)
class ReadingPipeline(CountingPipeline):
    """Reads a prompt of 1,000 tokens in parts before the first token of each text. It takes 2 ms for each token."""

    thread: VirtualThread | None = None
    read: dict[int, int] = field(default_factory=dict)
    figures: TextFigures = field(default_factory=lambda: TextFigures(320, 64, 2))

    def _parts(self, prepared: Sequence[Count], prompt_tokens: int | None) -> dict[int, int]:
        left, parts = prompt_tokens or 128, {}
        for text in prepared:
            if more := min(left, 1000 - self.read.get(text.job.id, 0)):
                parts[text.job.id] = more
                left -= more
        return parts

    def step_tokens(self, prepared: Sequence[Count], prompt_tokens: int | None = None) -> int:
        parts = self._parts(prepared, prompt_tokens)
        assert self.thread is not None
        self.thread._call_s = STEP_S + 0.002 * sum(parts.values())
        return sum(self.read.get(text.job.id, 0) == 1000 for text in prepared) + sum(parts.values())

    def step(
        self, prepared: Sequence[Count], prompt_tokens: int | None = None
    ) -> list[Generated | InferenceError | None]:
        self.steps.append([text.job.id for text in prepared])
        for job_id, more in self._parts(prepared, prompt_tokens).items():
            self.read[job_id] = self.read.get(job_id, 0) + more
        return [self._next(text) if self.read.get(text.job.id) == 1000 else None for text in prepared]


def test_running_texts_keep_their_pace_while_a_prompt_is_read():
    pipeline = ReadingPipeline()
    moments: list[float] = []

    async def play(b: Bench) -> None:
        pipeline.thread, loop = b.thread, asyncio.get_running_loop()
        said = b.event
        b.event = lambda item, event: (said(item, event), event.id == 0 and moments.append(loop.time()))  # type: ignore
        b.add(0, 60)
        await asyncio.sleep(3 + 10 * STEP_S)
        b.add(1, 2)
        await b.closed(1)
        b.add(2, 2)
        await b.closed(0, 2)

    b = scenario(play, pipeline=pipeline)
    gaps = [after - before for before, after in pairwise(moments[1:])]
    assert max(gaps) < (1 + SLOWER + 0.1) * STEP_S
    assert sum(gap > (1 + SLOWER / 2) * STEP_S for gap in gaps) >= 8, "the prompts were read meanwhile"
    assert 2 <= b.batcher.reading_ms < 2.6, "with a part of what a step costs in any case"
    figures = b.batcher.totals
    assert (b.batcher.prefix_bytes, figures.reused_tokens, figures.evictions) == (320, 64, 2)
    generations = [b.result(job_id).generation for job_id in range(3)]
    read_ms = [generation.reading_ms for generation in generations if generation]
    assert sum(read_ms[1:]) == pytest.approx(2 * 2000, rel=0.05)


def test_a_prompt_that_nobody_waits_for_is_given_up_with_its_next_part():
    pipeline = ReadingPipeline()

    async def play(b: Bench) -> None:
        pipeline.thread = b.thread
        b.add(0, 5, time_left_s=0.3)
        b.add(1, 5)
        await asyncio.sleep(0.1)
        b.batcher.cancel((CHANNEL, 1))
        await b.closed(0, 1)
        await asyncio.sleep(5)

    b = scenario(play, pipeline=pipeline)
    assert (b.closings[0], b.closings[1]) == (Returned(0, "expired"), Returned(1, "cancelled"))
    assert len(b.pipeline.steps) == 1
