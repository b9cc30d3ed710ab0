import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.batch_policy import Limits
from inference.batcher import FAILED, GO_TIMEOUT_S, Batcher, Item, Outcome
from inference.errors import EmptyInput, InferenceFailed, Invalid
from inference.messages import Closing, Description, Error, Job, Result, Returned, Started
from inference.model_thread import ModelThread
from tests.virtual_time import START_S, run

PATIENCE_S = 20
"""Far longer than anything here takes."""
BATCH_S = 0.5
"""How long a batch takes in virtual time."""
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
MISCOUNTS: dict[str, Callable[[list[Outcome]], Any]] = {
    "fewer": lambda outcomes: outcomes[:-1],
    "more": lambda outcomes: [*outcomes, b'"of nobody"'],
    "none": lambda outcomes: None,
}
CULPRITS = (*RAISES, *MISCOUNTS)


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


class ControlledPipeline:
    """Answers each input with itself in capitals; an input that begins with the name of a fault shows that fault."""

    def __init__(self, task: str = "fill-mask") -> None:
        self.description = describe(task)
        self.batches: list[list[str]] = []
        self.began = asyncio.Event()
        self.gate = threading.Event()
        """While it is clear, a batch does not end."""
        self.gate.set()
        self._loop = asyncio.get_running_loop()

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        texts = [job.input for job in jobs]
        self.batches.append(texts)
        self._loop.call_soon_threadsafe(self.began.set)
        assert self.gate.wait(PATIENCE_S)
        faults = [text.split()[0] for text in texts]
        for fault in faults:
            if fault in RAISES:
                raise RAISES[fault](fault)
        outcomes: Any = [REFUSES.get(fault) or answer_to(text) for fault, text in zip(faults, texts, strict=True)]
        for fault in faults:
            if fault in MISCOUNTS:
                return MISCOUNTS[fault](outcomes)  # type: ignore[no-any-return]
        return outcomes  # type: ignore[no-any-return]


class VirtualThread(ModelThread):
    """A batch takes ``BATCH_S`` of virtual time; there is no thread."""

    def __init__(self) -> None:
        pass

    async def run(self, call: Callable[[], Any]) -> Any:
        await asyncio.sleep(BATCH_S)
        return call()

    def close(self) -> None:
        pass


class Bench:
    """A batcher that runs, the pipeline under it, and everything that it said."""

    def __init__(self, thread: ModelThread, limits: Limits, task: str = "fill-mask") -> None:
        self.pipeline = ControlledPipeline(task)
        self.batcher = Batcher(self.pipeline, thread, limits, self._on_event, self._on_close)
        self.closings: dict[int, Closing] = {}
        self.closed_at_s: dict[int, float] = {}
        """Seconds from the start of the clock of virtual time."""
        self.events: list[Started] = []
        self._heard = asyncio.Event()
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
        await self._until(lambda: job_id in self.closings)
        return self.closings[job_id]

    async def all_closed(self) -> list[Closing]:
        await self._until(lambda: len(self.closings) == self._count)
        return [self.closings[job_id] for job_id in range(self._count)]

    async def outputs(self) -> list[bytes | None]:
        """Of every job; ``None`` for those without a result."""
        return [closing.output if isinstance(closing, Result) else None for closing in await self.all_closed()]

    async def started(self) -> None:
        """The first batch is in the model."""
        async with asyncio.timeout(PATIENCE_S):
            await self.pipeline.began.wait()

    async def event(self) -> Started:
        await self._until(lambda: bool(self.events))
        return self.events[0]

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._heard.clear()
                await self._heard.wait()

    def _on_event(self, item: Item, event: Started) -> None:
        assert item.job.id == event.id
        self.events.append(event)
        self._heard.set()

    def _on_close(self, item: Item, closing: Closing) -> None:
        assert item.job.id == closing.id
        assert closing.id not in self.closings, "a job is closed once"
        self.closings[closing.id] = closing
        self.closed_at_s[closing.id] = asyncio.get_running_loop().time() - START_S
        self._heard.set()


@asynccontextmanager
async def bench(
    size: int = 8, window_s: float = 0.0, *, thread: ModelThread | None = None, task: str = "fill-mask"
) -> AsyncIterator[Bench]:
    thread = thread or ModelThread("model-test")
    opened = Bench(thread, Limits(max_batch_size=size, batch_window_s=window_s), task)
    running = asyncio.create_task(opened.batcher.run())
    try:
        yield opened
        assert not running.done(), "nothing ends the loop"
    finally:
        opened.pipeline.gate.set()
        running.cancel()
        await asyncio.wait([running])
        thread.close()


def virtual(size: int = 8, window_s: float = 0.0) -> Any:
    return bench(size, window_s, thread=VirtualThread())


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


async def test_depth_counts_what_waits_and_idle_is_when_nothing_is_there():
    async with bench() as b:
        b.pipeline.gate.clear()
        seen = [(b.batcher.depth, b.batcher.idle)]
        b.add("a", "b")
        seen.append((b.batcher.depth, b.batcher.idle))
        await b.started()
        seen.append((b.batcher.depth, b.batcher.idle))
        b.pipeline.gate.set()
        await b.all_closed()
        await asyncio.sleep(0)
        seen.append((b.batcher.depth, b.batcher.idle))
        assert seen == [(0, True), (2, False), (0, False), (0, True)]


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
        st.sampled_from(["good", *REFUSES, *set(CULPRITS) - {"exit"}]),
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


async def test_a_listener_that_fails_costs_its_own_batch_only():
    async with bench() as b:

        def fail(item: Item, event: Started) -> None:
            raise RuntimeError("nobody should")

        b.batcher._on_event = fail
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


# Alone


async def test_an_alone_job_asks_and_waits_for_go_outside_the_model():
    async with bench() as b:
        b.add("suspect", alone=True)
        b.add("other")
        assert await b.event() == Started(0, 1)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not b.pipeline.batches
        b.batcher.go((CHANNEL, 0))
        assert await b.outputs() == [b'"SUSPECT"', b'"OTHER"']
        assert b.pipeline.batches == [["suspect"], ["other"]]


async def test_a_waiting_job_can_be_made_to_run_alone():
    async with bench() as b:
        b.pipeline.gate.clear()
        b.add("first")
        await b.started()
        b.add("a", "b", "c")
        b.batcher.set_alone((CHANNEL, 2))
        b.pipeline.gate.set()
        await b.event()
        b.batcher.go((CHANNEL, 2))
        await b.all_closed()
        assert b.pipeline.batches == [["first"], ["a", "c"], ["b"]]


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


@pytest.mark.parametrize("culprit", CULPRITS)
async def test_an_alone_job_that_fails_is_an_error(culprit: str):
    async with bench() as b:
        b.add(culprit, alone=True)
        await b.event()
        b.batcher.go((CHANNEL, 0))
        assert await b.closing(0) == Error(0, "inference", FAILED)


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
            await b.event()
            b.batcher.cancel((CHANNEL, 0))
            assert isinstance(await b.closing(0), Returned)
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
