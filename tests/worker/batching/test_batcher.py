import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inference.backends.base import FAILED, Outcome
from inference.errors import EmptyInput, InferenceFailed, Invalid
from inference.messaging.messages import Closing, Description, Error, Event, Job, Result, Returned, Started, Totals
from inference.worker.batching.batcher import Batcher
from inference.worker.batching.cost_model import MEMORY
from inference.worker.batching.policy import BatchLimits
from inference.worker.executors import Executors, ThreadExecutor
from inference.worker.item import Item
from inference.worker.job_runner import GO_TIMEOUT_S
from tests.virtual_time import START_S, run

PATIENCE_S = 20
"""Far longer than anything here takes."""
BATCH_S = 0.5
"""How long a batch takes in virtual time."""
TOKENIZE_S = 0.125
"""How long tokenising takes in virtual time, where it takes any."""
DEAR_BATCHES = ((1, 1, 500.0), (1, 32, 500.0)) * 250
"""Costs at warm-up by which whatever waits runs together, also after some batches that took next to nothing."""
CHANNEL = "inference.web.a"

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


RAISES: dict[str, type[BaseException]] = {
    "poison": ValueError,
    "memory": MemoryError,
    "stop": StopIteration,
    "exit": SystemExit,
    "timeout": TimeoutError,
}
REFUSES = {
    "long": Invalid("The input is too long."),
    "blank": EmptyInput("The input is empty."),
    "hopeless": InferenceFailed("It failed."),
}
MISCOUNTS: dict[str, Callable[[list[Any]], Any]] = {
    "fewer": lambda outcomes: outcomes[:-1],
    "more": lambda outcomes: [*outcomes, b'"of nobody"'],
    "none": lambda outcomes: None,
}
CULPRITS = (*RAISES, *MISCOUNTS)
IN_TOKENIZER = "token-"
"""Before the name of a fault: it shows when the input is tokenised."""
IDS = st.integers(0, 20)
FAULTS = sorted({*REFUSES, *CULPRITS} - {"exit"})
"""Without a thread, ``SystemExit`` would end the tests."""


def describe(task: str) -> Description:
    return Description(
        task=task,
        model="controlled",
        revision="",
        device="cpu",
        dtype="float32",
        threads=1,
        vocabulary=100,
        mask_token="",
        longest_input=512,
        longest_input_chars=10_000,
    )


def answer_to(text: str) -> bytes:
    return b'"%s"' % text.upper().encode()


@dataclass(frozen=True)
class Tokens:
    text: str
    longest: int
    sequences: int = 1

    @property
    def tokens(self) -> int:
        return self.longest * self.sequences


class ControlledPipeline:
    """Answers each input with itself in capitals; an input that begins with the name of a fault shows that fault.

    An input has one token, and one more for each dot.
    """

    shares_calls = True
    pads = True
    concurrent_batches = 1

    def __init__(
        self,
        task: str = "fill-mask",
        warm_up_costs: Sequence[tuple[int, int, float]] = (),
        heard: asyncio.Event | None = None,
    ) -> None:
        self.description = describe(task)
        self.warm_up_costs = warm_up_costs
        self.tokenized: list[list[str]] = []
        self.batches: list[list[str]] = []
        self.threads: dict[str, set[str]] = {"prepare": set(), "run": set()}
        self.gate, self.tokenizer_gate = threading.Event(), threading.Event()
        """While one is clear, what the model, or the tokenizer, works on does not end."""
        self.gate.set()
        self.tokenizer_gate.set()
        self._heard = heard or asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def prepare(self, jobs: Sequence[Job]) -> list[Any]:
        texts = [job.input for job in jobs]
        self._enter("prepare", self.tokenized, texts, self.tokenizer_gate)
        faults = [text.split()[0].removeprefix(IN_TOKENIZER) if text.startswith(IN_TOKENIZER) else "" for text in texts]
        return show(faults, [Tokens(text, 1 + text.count(".")) for text in texts])

    def run(self, batch: Sequence[Tokens]) -> list[Outcome]:
        texts = [prepared.text for prepared in batch]
        self._enter("run", self.batches, texts, self.gate)
        return show([text.split()[0] for text in texts], [answer_to(text) for text in texts])

    def use_threads(self, threads: int) -> None:
        pass

    def close(self) -> None:
        pass

    def _enter(self, method: str, seen: list[list[str]], texts: list[str], gate: threading.Event) -> None:
        self.threads[method].add(threading.current_thread().name)
        seen.append(texts)
        self._loop.call_soon_threadsafe(self._heard.set)
        assert gate.wait(PATIENCE_S)


def show(faults: list[str], good: Sequence[Any]) -> list[Any]:
    """What comes of these faults, and of the inputs without one."""
    for fault in faults:
        if fault in RAISES:
            raise RAISES[fault](fault)
    outcomes: Any = [REFUSES.get(fault) or outcome for fault, outcome in zip(faults, good, strict=True)]
    for fault in faults:
        if fault in MISCOUNTS:
            return MISCOUNTS[fault](outcomes)  # type: ignore[no-any-return]
    return outcomes  # type: ignore[no-any-return]


class VirtualThread(ThreadExecutor):
    """A call takes a while of virtual time; there is no thread."""

    def __init__(self, call_s: float = BATCH_S, spans: list[tuple[float, float]] | None = None) -> None:
        self._call_s = call_s
        self.spans: list[tuple[float, float]] = [] if spans is None else spans
        """From when to when each call took; threads may share the list."""

    async def run(self, call: Callable[[], Any], predicted_ms: float | None = None) -> Any:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(self._call_s)
        self.spans.append((began, asyncio.get_running_loop().time()))
        return call()

    def close(self, last: Callable[[], object] | None = None) -> None:
        if last is not None:
            last()

    def join(self) -> None:
        pass


class Bench:
    """A batcher that runs, the pipeline under it, and everything that it said."""

    def __init__(
        self,
        executors: Executors,
        limits: BatchLimits,
        task: str = "fill-mask",
        warm_up_costs: Sequence[tuple[int, int, float]] = (),
    ) -> None:
        self._heard = asyncio.Event()
        self.pipeline = ControlledPipeline(task, warm_up_costs, self._heard)
        self.batcher = Batcher(self.pipeline, executors, limits, self)
        self.closings: dict[int, Closing] = {}
        self.closed_at_s: dict[int, float] = {}
        """Seconds from the start of the clock of virtual time."""
        self.events: list[Event] = []
        self.gives_go = False
        """Whoever starts is given go at once."""
        self._count = 0

    def add(self, *texts: str, time_left_s: float = 60.0, **fields: Any) -> list[int]:
        """The ids of the new jobs."""
        ids = range(self._count, self._count + len(texts))
        self._count += len(texts)
        now = asyncio.get_running_loop().time()
        for job_id, text in zip(ids, texts, strict=True):
            known: dict[str, Any] = {"request_id": f"r{job_id}", "parameters": {}, "time_left_s": time_left_s}
            self.batcher.add(Item((CHANNEL, job_id), Job(id=job_id, input=text, **(known | fields)), now))
        return list(ids)

    async def closing(self, job_id: int) -> Closing:
        await self.until(lambda: job_id in self.closings)
        return self.closings[job_id]

    async def all_closed(self) -> list[Closing]:
        await self.until(lambda: len(self.closings) == self._count)
        return [self.closings[job_id] for job_id in range(self._count)]

    async def outputs(self) -> list[bytes | None]:
        """Of every job; ``None`` for those without a result."""
        return [closing.output if isinstance(closing, Result) else None for closing in await self.all_closed()]

    async def started(self) -> None:
        """The first batch is in the model."""
        await self.until(lambda: bool(self.pipeline.batches))

    async def first_event(self) -> Event:
        await self.until(lambda: bool(self.events))
        return self.events[0]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._heard.clear()
                await self._heard.wait()

    def event(self, item: Item, event: Event) -> None:
        assert item.job.id == event.id
        self.events.append(event)
        if self.gives_go:
            self.batcher.go(item.key)
        self._heard.set()

    def close(self, item: Item, closing: Closing) -> None:
        assert item.job.id == closing.id
        assert closing.id not in self.closings, "a job is closed once"
        self.closings[closing.id] = closing
        self.closed_at_s[closing.id] = asyncio.get_running_loop().time() - START_S
        self._heard.set()


@asynccontextmanager
async def bench(size: int = 8, *, task: str = "fill-mask") -> AsyncIterator[Bench]:
    """With real threads."""
    tokenizer, thread = ThreadExecutor("tokenizer-test"), ThreadExecutor("model-test")
    opened = Bench(Executors(tokenizer, thread), BatchLimits(max_batch_size=size), task, DEAR_BATCHES)
    async with running(opened):
        yield opened
    tokenizer.close()
    thread.close()


@asynccontextmanager
async def virtual(size: int = 8, window_s: float = 0.0, tokenize_s: float = 0.0) -> AsyncIterator[Bench]:
    """With neither threads nor waiting."""
    limits = BatchLimits(max_batch_size=size, batch_window_s=window_s)
    opened = Bench(Executors(VirtualThread(tokenize_s), VirtualThread()), limits)
    async with running(opened):
        yield opened


@asynccontextmanager
async def running(opened: Bench) -> AsyncIterator[None]:
    task = asyncio.create_task(opened.batcher.run())
    try:
        yield
        assert not task.done(), "nothing ends the loop"
    finally:
        opened.pipeline.gate.set()
        opened.pipeline.tokenizer_gate.set()
        task.cancel()
        await asyncio.wait([task])


# Batches


async def test_each_job_gets_its_own_answer():
    async with bench(size=3) as b:
        b.add("one", "two", "three", "four", "five")
        assert await b.outputs() == [b'"ONE"', b'"TWO"', b'"THREE"', b'"FOUR"', b'"FIVE"']
        assert b.pipeline.batches == [["one", "two", "three"], ["four", "five"]]


async def test_while_a_batch_runs_new_jobs_wait_and_then_run_together():
    async with bench() as b:
        b.pipeline.gate.clear()
        b.add("first")
        await b.started()
        for text in ("a", "b", "c"):
            b.add(text)
        assert b.batcher.depth == 3
        await b.until(lambda: ["a", "b", "c"] in b.pipeline.tokenized)
        b.pipeline.gate.set()
        sizes = [closing.batch_size for closing in await b.all_closed() if isinstance(closing, Result)]
        assert b.pipeline.batches == [["first"], ["a", "b", "c"]]
        assert sizes == [1, 3, 3, 3]


async def test_jobs_that_differ_in_a_forward_parameter_run_apart():
    async with bench(task="text-generation") as b:
        b.add("a", "b", parameters={"seed": 1})
        b.add("c", parameters={"seed": 2})
        b.add("d", parameters={"seed": 1, "return_full_text": True})
        await b.all_closed()
        assert b.pipeline.batches == [["a", "b", "d"], ["c"]]


def test_depth_counts_what_waits_tokenised_or_not_and_nothing_that_runs():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            seen = [b.batcher.depth]
            b.add("a", "b")
            seen.append(b.batcher.depth)  # both in the tokenizer
            await asyncio.sleep(1.5 * TOKENIZE_S)
            seen.append(b.batcher.depth)  # both in the model
            b.add("c")
            await asyncio.sleep(1.5 * TOKENIZE_S)
            b.add("d")
            seen.append(b.batcher.depth)  # one is tokenised, one is not
            await b.all_closed()
            seen.append(b.batcher.depth)
            assert seen == [0, 2, 0, 2, 0]

    run(main())


# Tokenising


async def test_jobs_are_tokenised_on_one_thread_and_run_on_the_other():
    async with bench() as b:
        b.add("a", "b")
        await b.all_closed()
        assert b.pipeline.threads == {"prepare": {"tokenizer-test"}, "run": {"model-test"}}


async def test_new_jobs_are_tokenised_while_a_batch_runs():
    async with bench() as b:
        b.pipeline.gate.clear()
        b.add("first")
        await b.started()
        b.add("a", "b")
        await b.until(lambda: ["a", "b"] in b.pipeline.tokenized)
        assert not b.closings
        b.pipeline.gate.set()
        assert await b.outputs() == [b'"FIRST"', b'"A"', b'"B"']


def test_what_was_tokenised_meanwhile_starts_when_the_batch_ends():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("first")
            await asyncio.sleep(2 * TOKENIZE_S)
            b.add("a", "b")
            await b.all_closed()
            first_ends = TOKENIZE_S + BATCH_S
            assert b.closed_at_s == {0: first_ends, 1: first_ends + BATCH_S, 2: first_ends + BATCH_S}

    run(main())


def test_what_comes_while_others_are_tokenised_is_tokenised_next_and_nothing_twice():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("a")
            await asyncio.sleep(TOKENIZE_S / 2)
            b.add("b", "c")
            await b.all_closed()
            assert b.pipeline.tokenized == [["a"], ["b", "c"]]
            assert b.pipeline.batches == [["a"], ["b", "c"]]

    run(main())


def test_a_batch_does_not_wait_for_what_is_being_tokenised():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("a")
            await asyncio.sleep(TOKENIZE_S - 0.001)
            b.add("b")
            await b.closing(0)
            assert b.closed_at_s == {0: TOKENIZE_S + BATCH_S}

    run(main())


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("long", "validation", "The input is too long."),
        ("blank", "empty", "The input is empty."),
        ("hopeless", "inference", "It failed."),
    ],
)
async def test_a_job_that_cannot_be_tokenised_gets_its_own_error_and_its_mates_their_answers(
    fault: str, code: str, message: str
):
    async with bench() as b:
        b.add("a", IN_TOKENIZER + fault, "b")
        assert await b.outputs() == [b'"A"', None, b'"B"']
        assert b.closings[1] == Error(1, code, message)
        assert b.pipeline.tokenized == [["a", IN_TOKENIZER + fault, "b"]]
        assert b.pipeline.batches == [["a", "b"]]


async def test_each_of_several_jobs_that_cannot_be_tokenised_gets_its_own_error():
    async with bench() as b:
        b.add("token-long", "a", "token-blank")
        await b.all_closed()
        assert b.closings[0] == Error(0, "validation", "The input is too long.")
        assert b.closings[2] == Error(2, "empty", "The input is empty.")


@pytest.mark.parametrize("culprit", CULPRITS)
async def test_where_tokenising_fails_for_all_each_is_tried_by_itself(culprit: str):
    bad = IN_TOKENIZER + culprit
    async with bench() as b:
        b.add("a", bad, "b")
        assert await b.outputs() == [b'"A"', None, b'"B"']
        assert b.closings[1] == Error(1, "inference", FAILED)
        assert b.pipeline.tokenized == [["a", bad, "b"], ["a"], [bad], ["b"]]
        assert b.pipeline.batches == [["a", "b"]]


@pytest.mark.parametrize("fault", MISCOUNTS)
async def test_a_wrong_number_of_tokenised_jobs_is_an_error_and_not_someone_elses_tokens(fault: str):
    async with bench() as b:
        b.add(IN_TOKENIZER + fault)
        assert await b.closing(0) == Error(0, "inference", FAILED)
        assert not b.pipeline.batches


@pytest.mark.parametrize("culprit", CULPRITS)
async def test_the_loop_survives_the_tokenizer(culprit: str):
    async with bench() as b:
        b.add(IN_TOKENIZER + culprit)
        await b.closing(0)
        b.add("after")
        assert await b.outputs() == [None, b'"AFTER"']


async def test_what_the_tokenizer_raised_is_not_told_to_the_client():
    async with bench() as b:
        b.add("token-poison with a secret")
        closing = await b.closing(0)
        assert isinstance(closing, Error)
        assert "poison" not in closing.message


async def test_a_tokenizer_whose_outcomes_are_nonsense_ends_the_batcher_instead_of_letting_jobs_wait():
    tokenizer, thread = ThreadExecutor("tokenizer-test"), ThreadExecutor("model-test")
    b = Bench(Executors(tokenizer, thread), BatchLimits(max_batch_size=8))
    b.pipeline.prepare = lambda jobs: [None] * len(jobs)  # type: ignore[method-assign]
    b.add("a")
    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(b.batcher.run(), PATIENCE_S)
    tokenizer.close()
    thread.close()


# Executors


@asynccontextmanager
async def side_by_side(
    size: int = 8, warm_up_costs: Sequence[tuple[int, int, float]] = ()
) -> AsyncIterator[tuple[Bench, VirtualThread, list[VirtualThread]]]:
    """A batcher in virtual time, its wide thread and its narrow ones, on which a batch takes twice as long."""
    wide, narrow = VirtualThread(), [VirtualThread(2 * BATCH_S) for _ in range(2)]
    opened = Bench(
        Executors(VirtualThread(0), wide, narrow), BatchLimits(max_batch_size=size), warm_up_costs=warm_up_costs
    )
    async with running(opened):
        yield opened, wide, narrow


def test_what_waits_is_shared_among_the_executors():
    async def main() -> None:
        async with side_by_side() as (b, wide, narrow):
            b.add(*"abcdef")
            await b.all_closed()
            assert sorted(map(len, b.pipeline.batches)) == [3, 3]
            assert [thread.spans for thread in narrow] == [[(START_S, START_S + 2 * BATCH_S)]] * 2
            assert not wide.spans

    run(main())


def test_a_lone_job_has_every_core_and_nothing_beside_it():
    async def main() -> None:
        async with side_by_side() as (b, wide, narrow):
            b.add("a")
            await asyncio.sleep(BATCH_S / 2)
            b.add("b", "c")
            await b.all_closed()
            assert wide.spans == [(START_S, START_S + BATCH_S)]
            assert {span[0] for thread in narrow for span in thread.spans} == {START_S + BATCH_S}

    run(main())


def test_a_little_work_runs_in_one_batch_on_every_core():
    """Fixed costs twice would be more than what running side by side saves."""

    async def main() -> None:
        async with side_by_side(warm_up_costs=DEAR_BATCHES) as (b, wide, narrow):
            b.add(*"abcdef")
            await b.all_closed()
            assert [len(thread.spans) for thread in (wide, *narrow)] == [1, 0, 0]

    run(main())


def test_a_lane_that_is_free_takes_what_comes_while_the_other_works():
    async def main() -> None:
        async with side_by_side(size=1) as (b, _, narrow):
            b.add("a", "b", "c", "d")
            await b.all_closed()
            assert [len(thread.spans) for thread in narrow] == [2, 2]

    run(main())


def test_a_batch_that_fails_in_one_lane_leaves_the_other_alone():
    async def main() -> None:
        async with side_by_side() as (b, _, narrow):
            b.add("a", "poison", "c", "d")
            outputs = await b.outputs()
            assert [output is None for output in outputs] == [False, True, False, False]
            assert sorted(len(thread.spans) for thread in narrow) == [1, 3]

    run(main())


# Totals and cost


async def test_totals_count_what_ran():
    async with bench(size=2) as b:
        totals = [b.batcher.totals]
        b.add("a", "b..")
        await b.all_closed()
        totals.append(b.batcher.totals)
        b.add("c.")
        await b.all_closed()
        totals.append(b.batcher.totals)
        assert totals == [
            Totals(),
            Totals(batches=1, jobs=2, tokens=4, padded_tokens=6),
            Totals(batches=2, jobs=3, tokens=6, padded_tokens=8),
        ]


async def test_totals_count_a_batch_that_failed_by_its_halves_that_did_not():
    async with bench() as b:
        b.add("a", "b", "poison", "d")
        await b.all_closed()
        assert b.batcher.totals == Totals(batches=2, jobs=3, tokens=3, padded_tokens=3)


async def test_totals_know_nothing_of_what_never_ran():
    async with bench() as b:
        b.add("token-poison", "token-long")
        b.add("late", time_left_s=0)
        await b.all_closed()
        assert b.batcher.totals == Totals()


async def test_an_alone_job_counts_in_the_totals():
    async with bench() as b:
        b.gives_go = True
        b.add("a..", alone=True)
        await b.all_closed()
        assert b.batcher.totals == Totals(batches=1, jobs=1, tokens=3, padded_tokens=3)


def test_the_time_of_a_job_is_learned_without_its_tokenising():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("a...")
            await b.all_closed()
            assert b.batcher.cost.job_ms == pytest.approx((1 - MEMORY) * BATCH_S * 1000)

    run(main())


async def test_the_cost_of_a_batch_is_what_it_cost_the_model():
    async with bench() as b:
        b.add("a...")
        await b.all_closed()
        assert 0 < b.batcher.cost.model.predict_ms(1, 4) < b.batcher.cost.job_ms / (1 - MEMORY)


async def test_what_was_learned_at_warm_up_is_known_from_the_start():
    async with bench() as b:
        assert b.batcher.cost.model.predict_ms(1, 100) == pytest.approx(500)
        assert b.batcher.cost.job_ms == pytest.approx(500)


# Faults


@pytest.mark.parametrize("culprit", CULPRITS)
async def test_a_batch_that_fails_is_halved_until_the_culprit_stands_alone(culprit: str):
    async with bench() as b:
        b.add("a", "b", culprit, "d")
        assert await b.outputs() == [b'"A"', b'"B"', None, b'"D"']
        assert b.closings[2] == Error(2, "inference", FAILED)
        assert b.pipeline.batches == [["a", "b", culprit, "d"], ["a", "b"], [culprit, "d"], [culprit], ["d"]]


async def test_several_culprits_do_not_cost_their_mates_an_answer():
    texts = ["poison 0", "a", "fewer 2", "b", "c", "more 5", "exit 6"]
    async with bench() as b:
        b.add(*texts)
        assert await b.outputs() == [None, b'"A"', None, b'"B"', b'"C"', None, None]


async def test_a_batch_that_is_too_much_for_the_memory_makes_later_ones_smaller():
    async with bench(size=16) as b:
        run_all, sizes = b.pipeline.run, []

        def run_some(batch: Sequence[Tokens]) -> list[Outcome]:
            sizes.append(sum(prepared.tokens for prepared in batch))
            if sizes[-1] > 6:
                raise MemoryError
            return run_all(batch)

        b.pipeline.run = run_some  # type: ignore[method-assign]
        b.add(*(f"{n}" for n in range(16)))
        assert None not in await b.outputs()
        assert sizes == [16, 8, 4, 4, 8, 4, 4]
        b.add(*(f"{n}" for n in range(16)))
        assert None not in await b.outputs()
        assert sizes[7:] == [4, 4, 4, 4]


@pytest.mark.parametrize("fault", ["fewer", "more"])
async def test_a_wrong_number_of_outcomes_is_an_error_and_not_someone_elses_answer(fault: str):
    async with bench() as b:
        b.add(fault)
        assert await b.closing(0) == Error(0, "inference", FAILED)


@pytest.mark.parametrize("culprit", CULPRITS)
async def test_the_loop_survives(culprit: str):
    async with bench(size=1) as b:
        b.add(culprit, "after")
        assert await b.outputs() == [None, b'"AFTER"']


async def test_what_the_model_raised_is_not_told_to_the_client():
    async with bench() as b:
        b.add("poison with a secret")
        closing = await b.closing(0)
        assert isinstance(closing, Error)
        assert "poison" not in closing.message


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("long", "validation", "The input is too long."),
        ("blank", "empty", "The input is empty."),
        ("hopeless", "inference", "It failed."),
    ],
)
async def test_an_input_that_the_pipeline_refuses_costs_its_mates_nothing(text: str, code: str, message: str):
    async with bench() as b:
        b.add("a", text, "b")
        assert await b.outputs() == [b'"A"', None, b'"B"']
        assert b.closings[1] == Error(1, code, message)
        assert len(b.pipeline.batches) == 1


@steady
@given(
    st.lists(
        st.sampled_from(["good", "good", *FAULTS, *(IN_TOKENIZER + fault for fault in FAULTS)]),
        max_size=12,
    ),
    st.integers(1, 8),
    st.sets(st.integers(0, 11)),
)
def test_whatever_fails_every_job_has_one_closing_entry_and_the_good_ones_their_own_answer(
    kinds: list[str], size: int, alone: set[int]
):
    async def main() -> None:
        async with virtual(size) as b:
            for number, kind in enumerate(kinds):
                b.add(f"{kind} {number}", alone=number in alone)
            for number in alone:
                b.batcher.go((CHANNEL, number))  # too early: none of them runs yet
            while len(b.closings) < len(kinds):
                await asyncio.sleep(BATCH_S / 2)
                for event in b.events:
                    b.batcher.go((CHANNEL, event.id))
            closings = [b.closings[number] for number in range(len(kinds))]
            for number, (kind, closing) in enumerate(zip(kinds, closings, strict=True)):
                if kind == "good":
                    assert isinstance(closing, Result)
                    assert closing.output == answer_to(f"good {number}")
                else:
                    assert isinstance(closing, Error)

    run(main())


async def test_replies_that_fail_cost_their_own_batch_only(monkeypatch: pytest.MonkeyPatch):
    async with bench() as b:

        def fail(item: Item, event: Event) -> None:
            raise RuntimeError("nobody should")

        monkeypatch.setattr(b, "event", fail)
        b.add("a", events=True)
        b.add("b")
        assert [type(closing) for closing in await b.all_closed()] == [Error, Error]
        b.add("after")
        assert isinstance(await b.closing(2), Result)


# Cancelling and draining


async def test_a_waiting_job_that_is_cancelled_is_given_back_at_once_and_never_runs():
    async with bench() as b:
        b.pipeline.gate.clear()
        b.add("running")
        await b.started()
        (waits,) = b.add("waits")
        b.batcher.cancel((CHANNEL, waits))
        assert b.closings == {waits: Returned(waits, "cancelled")}
        b.pipeline.gate.set()
        await b.all_closed()
        assert b.pipeline.batches == [["running"]]


async def test_a_running_job_that_is_cancelled_is_given_back_at_the_end_of_its_batch():
    async with bench() as b:
        b.pipeline.gate.clear()
        b.add("a", "b")
        await b.started()
        b.batcher.cancel((CHANNEL, 0))
        await asyncio.sleep(0)
        assert not b.closings
        b.pipeline.gate.set()
        assert await b.outputs() == [None, b'"B"']
        assert b.closings[0] == Returned(0, "cancelled")


async def test_cancelling_what_is_not_here_changes_nothing():
    async with bench() as b:
        b.pipeline.gate.clear()
        b.add("a")
        await b.started()
        b.batcher.cancel((CHANNEL, 99))
        b.batcher.cancel(("inference.web.other", 0))
        b.pipeline.gate.set()
        assert await b.outputs() == [b'"A"']
        b.batcher.cancel((CHANNEL, 0))
        assert len(b.closings) == 1


async def test_draining_gives_back_what_has_not_started_and_finishes_the_rest():
    async with bench(size=1) as b:
        b.pipeline.gate.clear()
        b.add("runs", "waits", "waits too")
        await b.started()
        b.batcher.return_waiting("draining")
        assert b.closings == {1: Returned(1, "draining"), 2: Returned(2, "draining")}
        b.pipeline.gate.set()
        assert await b.outputs() == [b'"RUNS"', None, None]
        assert b.pipeline.batches == [["runs"]]


def test_a_job_that_is_cancelled_while_it_is_tokenised_is_given_back_at_once_and_never_runs():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("a", "b")
            await asyncio.sleep(TOKENIZE_S / 2)
            b.batcher.cancel((CHANNEL, 0))
            assert b.closings == {0: Returned(0, "cancelled")}
            assert await b.outputs() == [None, b'"B"']
            assert b.pipeline.batches == [["b"]]

    run(main())


def test_a_job_that_is_cancelled_while_others_are_tokenised_is_never_tokenised():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("a")
            await asyncio.sleep(TOKENIZE_S / 2)
            b.add("b", "c")
            b.batcher.cancel((CHANNEL, 1))
            assert b.closings == {1: Returned(1, "cancelled")}
            await b.all_closed()
            assert b.pipeline.tokenized == [["a"], ["c"]]

    run(main())


def test_a_job_that_is_cancelled_while_it_is_tokenised_in_vain_is_closed_once():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("token-long", "token-poison")
            await asyncio.sleep(TOKENIZE_S / 2)
            b.batcher.cancel((CHANNEL, 0))
            b.batcher.cancel((CHANNEL, 1))
            await asyncio.sleep(10)
            assert b.closings == {0: Returned(0, "cancelled"), 1: Returned(1, "cancelled")}

    run(main())


def test_draining_gives_back_what_is_not_tokenised_yet():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("runs")
            await asyncio.sleep(1.5 * TOKENIZE_S)
            b.add("in the tokenizer")
            await asyncio.sleep(TOKENIZE_S / 2)
            b.add("before it")
            b.batcher.return_waiting("draining")
            assert b.closings == {2: Returned(2, "draining")}
            assert await b.outputs() == [b'"RUNS"', None, None]
            assert b.closings[1] == Returned(1, "draining")
            assert b.batcher.depth == 0
            await asyncio.sleep(10)
            assert b.pipeline.batches == [["runs"]]
            assert ["before it"] not in b.pipeline.tokenized

    run(main())


# Alone


async def test_an_alone_job_asks_and_waits_for_go_outside_the_model():
    async with bench() as b:
        b.add("suspect", alone=True)
        b.add("other")
        assert await b.first_event() == Started(0, 1)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not b.pipeline.batches
        b.batcher.go((CHANNEL, 0))
        assert await b.outputs() == [b'"SUSPECT"', b'"OTHER"']
        assert b.pipeline.batches == [["suspect"], ["other"]]


def test_a_waiting_job_can_be_made_to_run_alone():
    async def main() -> None:
        async with virtual() as b:
            b.gives_go = True
            b.add("first")
            await asyncio.sleep(BATCH_S / 4)
            b.add("a", "b", "c")
            await asyncio.sleep(BATCH_S / 4)
            assert b.pipeline.tokenized == [["first"], ["a", "b", "c"]]
            b.batcher.set_alone((CHANNEL, 2))
            await b.all_closed()
            assert b.pipeline.batches == [["first"], ["a", "c"], ["b"]]

    run(main())


def test_a_job_that_is_made_to_run_alone_while_it_is_tokenised_is_tokenised_again_by_itself():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("a", "b")
            await asyncio.sleep(TOKENIZE_S / 2)
            b.batcher.set_alone((CHANNEL, 0))
            assert await b.first_event() == Started(0, 1)
            b.batcher.go((CHANNEL, 0))
            assert await b.outputs() == [b'"A"', b'"B"']
            assert b.pipeline.tokenized == [["a", "b"], ["a"]]
            assert b.pipeline.batches == [["a"], ["b"]]

    run(main())


def test_a_job_that_is_made_to_run_alone_before_it_is_tokenised_is_tokenised_by_itself():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.gives_go = True
            b.add("first")
            await asyncio.sleep(TOKENIZE_S / 2)
            b.add("a", "b")
            b.batcher.set_alone((CHANNEL, 1))
            assert await b.outputs() == [b'"FIRST"', b'"A"', b'"B"']
            assert sorted(b.pipeline.tokenized) == [["a"], ["b"], ["first"]]
            assert ["a"] in b.pipeline.batches

    run(main())


async def test_an_alone_job_is_tokenised_only_after_its_go():
    async with bench() as b:
        b.add("suspect", alone=True)
        await b.first_event()
        b.add("other")
        await b.until(lambda: ["other"] in b.pipeline.tokenized)  # the tokenizer is free for it
        assert b.pipeline.tokenized == [["other"]]
        b.batcher.go((CHANNEL, 0))
        await b.all_closed()
        assert b.pipeline.tokenized == [["other"], ["suspect"]]


def test_nothing_is_tokenised_while_an_alone_job_is_in_the_tokenizer_or_the_model():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.gives_go = True
            b.add("suspect", alone=True)
            await asyncio.sleep(TOKENIZE_S / 2)
            b.add("during its tokenising")
            await asyncio.sleep(TOKENIZE_S)
            b.add("during its run")
            await asyncio.sleep(TOKENIZE_S + BATCH_S - 1.5 * TOKENIZE_S - 0.001)
            assert b.pipeline.tokenized == [["suspect"]]
            await b.all_closed()
            assert b.pipeline.tokenized[1:] == [["during its tokenising", "during its run"]]

    run(main())


def test_what_is_suspected_or_cancelled_while_an_alone_job_runs_is_not_tokenised_with_others():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("suspect", alone=True)
            await b.first_event()
            b.batcher.go((CHANNEL, 0))
            b.add("a", "b", "c")
            await asyncio.sleep(1.5 * TOKENIZE_S)
            b.batcher.set_alone((CHANNEL, 1))
            b.batcher.cancel((CHANNEL, 2))
            await b.all_closed()
            assert b.closings[1] == Returned(1, "no_go")
            assert b.pipeline.tokenized == [["suspect"], ["c"]]

    run(main())


def test_nothing_is_left_to_tokenise_after_an_alone_job():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.gives_go = True
            b.add("suspect", alone=True)
            await asyncio.sleep(TOKENIZE_S / 2)
            b.add("a")
            await asyncio.sleep(TOKENIZE_S)
            b.batcher.cancel((CHANNEL, 1))
            await asyncio.sleep(10)
            assert b.pipeline.tokenized == [["suspect"]]

    run(main())


@steady
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["add", "add", "suspect", "set_alone", "cancel"]), IDS),
        max_size=16,
    ),
    st.integers(1, 4),
    st.sampled_from([0, 2]),
)
@example([(0, "suspect", 0), (0, "cancel", 0)], 1, 0)
def test_whatever_comes_an_alone_job_is_alone_from_its_tokenising_to_its_end(
    steps: list[tuple[int, str, int]], size: int, side_by_side: int
):
    async def main() -> None:
        tokenizer, model = VirtualThread(TOKENIZE_S), VirtualThread()
        executors = Executors(tokenizer, model, [VirtualThread(2 * BATCH_S, model.spans) for _ in range(side_by_side)])
        b = Bench(executors, BatchLimits(max_batch_size=size))
        b.gives_go = True
        async with running(b):
            for number, (pause, action, job_id) in enumerate(steps):
                await asyncio.sleep(pause * TOKENIZE_S / 2)
                if action == "add":
                    b.add(f"{number} a", f"{number} b")
                elif action == "suspect":
                    b.add(f"{number} suspect", alone=True)
                else:
                    getattr(b.batcher, action)((CHANNEL, job_id))
            await b.all_closed()
        tokenized = list(zip(b.pipeline.tokenized, tokenizer.spans, strict=True))
        batches = list(zip(b.pipeline.batches, model.spans, strict=True))
        alone = [batch for batch, _ in batches if batch[0].endswith("suspect")]
        assert len(alone) <= len(b.events)  # one that is cancelled before it may go has said that it starts
        for texts in alone:
            began = max(span[0] for known, span in tokenized if known == texts)
            ended = max(span[1] for known, span in batches if known == texts)
            others = [span for known, span in tokenized + batches if known != texts]
            assert all(until <= began or since >= ended for since, until in others)

    run(main())


async def test_making_a_running_or_unknown_job_alone_changes_nothing():
    async with bench() as b:
        b.pipeline.gate.clear()
        b.add("a", "b")
        await b.started()
        b.batcher.set_alone((CHANNEL, 0))
        b.batcher.set_alone((CHANNEL, 99))
        b.pipeline.gate.set()
        assert await b.outputs() == [b'"A"', b'"B"']
        assert not b.events


async def test_a_start_is_told_to_those_who_asked():
    async with bench() as b:
        b.add("a")
        b.add("b", "c", events=True)
        await b.all_closed()
        assert b.events == [Started(1, 3), Started(2, 3)]


@pytest.mark.parametrize("culprit", [*CULPRITS, *(IN_TOKENIZER + culprit for culprit in CULPRITS)])
async def test_an_alone_job_that_fails_is_an_error(culprit: str):
    async with bench() as b:
        b.add(culprit, alone=True)
        await b.first_event()
        b.batcher.go((CHANNEL, 0))
        assert await b.closing(0) == Error(0, "inference", FAILED)


async def test_an_alone_job_that_cannot_be_tokenised_gets_its_own_error():
    async with bench() as b:
        b.gives_go = True
        b.add("token-long", alone=True)
        assert await b.closing(0) == Error(0, "validation", "The input is too long.")
        b.add("after")
        assert isinstance(await b.closing(1), Result)
        assert b.pipeline.batches == [["after"]]


# Time


def test_without_go_an_alone_job_is_given_back_and_never_runs():
    async def main() -> None:
        async with virtual() as b:
            b.add("suspect", alone=True)
            b.add("other")
            await b.all_closed()
            assert b.closings[0] == Returned(0, "no_go")
            assert b.closed_at_s == {0: 1, 1: 1 + BATCH_S}
            assert b.pipeline.batches == [["other"]]

    run(main())


def test_a_go_at_the_last_moment_is_in_time():
    async def main() -> None:
        async with virtual() as b:
            b.add("suspect", alone=True)
            await asyncio.sleep(GO_TIMEOUT_S - 0.001)
            b.batcher.go((CHANNEL, 0))
            assert isinstance(await b.closing(0), Result)

    run(main())


def test_a_go_that_comes_too_late_changes_nothing():
    async def main() -> None:
        async with virtual() as b:
            b.add("suspect", alone=True)
            await b.all_closed()
            b.batcher.go((CHANNEL, 0))
            await asyncio.sleep(10)
            assert b.closings == {0: Returned(0, "no_go")}
            assert not b.pipeline.batches

    run(main())


def test_an_alone_job_that_is_cancelled_while_it_waits_for_go_never_runs():
    async def main() -> None:
        async with virtual() as b:
            b.add("suspect", alone=True)
            await b.first_event()
            cancelled_at = asyncio.get_running_loop().time()
            b.batcher.cancel((CHANNEL, 0))
            assert await b.closing(0) == Returned(0, "cancelled")
            assert asyncio.get_running_loop().time() == cancelled_at  # the model is free for others at once
            assert not b.pipeline.batches

    run(main())


def test_a_job_that_expires_while_another_batch_runs_never_reaches_the_model():
    async def main() -> None:
        async with virtual(size=1) as b:
            b.add("first")
            b.add("hasty", time_left_s=BATCH_S / 2)
            b.add("patient")
            await b.all_closed()
            assert b.closings[1] == Returned(1, "expired")
            assert b.pipeline.batches == [["first"], ["patient"]]

    run(main())


def test_a_job_that_expires_while_it_runs_is_given_back():
    """Its web process has told the client so, and what the pipeline made of it may be cut short."""

    async def main() -> None:
        async with virtual() as b:
            b.add("hasty", time_left_s=BATCH_S / 2)
            b.add("patient")
            await b.all_closed()
            assert b.closings[0] == Returned(0, "expired")
            assert isinstance(b.closings[1], Result)
            assert b.pipeline.batches == [["hasty", "patient"]]

    run(main())


def test_a_job_that_expires_while_it_is_tokenised_never_reaches_the_model():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("hasty", time_left_s=TOKENIZE_S / 2)
            b.add("patient")
            await b.all_closed()
            assert b.closings[0] == Returned(0, "expired")
            assert b.pipeline.batches == [["patient"]]

    run(main())


def test_a_job_that_expires_in_its_window_is_given_back_at_that_moment():
    async def main() -> None:
        async with virtual(window_s=1) as b:
            b.add("patient")
            b.add("hasty", time_left_s=0.25)
            await b.all_closed()
            assert b.closings[1] == Returned(1, "expired")
            assert b.closed_at_s == {0: 1 + BATCH_S, 1: 0.25}

    run(main())


def test_a_job_without_time_left_is_given_back_at_once():
    async def main() -> None:
        async with virtual() as b:
            b.add("late", time_left_s=0)
            assert await b.closing(0) == Returned(0, "expired")
            assert b.closed_at_s == {0: 0}

    run(main())


def test_the_window_counts_from_the_first_job_and_is_not_reset_by_later_ones():
    async def main() -> None:
        async with virtual(window_s=1) as b:
            for _ in range(4):
                b.add("a")
                await asyncio.sleep(0.25)
            await asyncio.sleep(0.25)
            b.add("b")
            await b.all_closed()
            assert b.closed_at_s == {0: 1.5, 1: 1.5, 2: 1.5, 3: 1.5, 4: 2.75}

    run(main())


def test_a_full_batch_starts_before_its_window_ends():
    async def main() -> None:
        async with virtual(size=2, window_s=1) as b:
            b.add("a")
            await asyncio.sleep(0.25)
            b.add("b")
            await b.all_closed()
            assert b.closed_at_s == {0: 0.25 + BATCH_S, 1: 0.25 + BATCH_S}

    run(main())


def test_a_cancelled_job_does_not_count_as_company():
    async def main() -> None:
        async with virtual(size=2, window_s=1) as b:
            b.add("a", "b")
            b.batcher.cancel((CHANNEL, 0))
            await b.all_closed()
            assert b.closed_at_s == {0: 0, 1: 1 + BATCH_S}

    run(main())


def test_a_result_tells_how_long_the_job_waited_and_ran():
    async def main() -> None:
        async with virtual() as b:
            b.add("first")
            await asyncio.sleep(BATCH_S / 2)
            b.add("second")
            first, second = await b.all_closed()
            assert first == Result(0, b'"FIRST"', 0.0, BATCH_S * 1000, 1)
            assert second == Result(1, b'"SECOND"', BATCH_S * 500, BATCH_S * 1000, 1)

    run(main())


def test_tokenising_is_part_of_the_wait():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("a")
            assert await b.all_closed() == [Result(0, b'"A"', TOKENIZE_S * 1000, BATCH_S * 1000, 1)]

    run(main())
