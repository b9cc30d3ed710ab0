import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.backends.base import FAILED
from inference.messaging.messages import Error, Result, Returned, Started
from inference.worker.batching.policy import BatchLimits
from inference.worker.executors import Executors
from inference.worker.job_runner import GO_TIMEOUT_S
from inference.worker.turns import Turns
from tests.virtual_time import run
from tests.worker.bench import (
    BATCH_S,
    CHANNEL,
    CULPRITS,
    IDS,
    IN_TOKENIZER,
    TOKENIZE_S,
    Bench,
    VirtualThread,
    bench,
    running,
    steady,
    virtual,
)

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


def test_an_alone_job_is_tokenised_only_after_its_go_and_others_after_it():
    """Whatever ends the process meanwhile is counted against it."""

    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("suspect", alone=True)
            await b.first_event()
            b.add("other")
            await asyncio.sleep(GO_TIMEOUT_S - TOKENIZE_S)
            assert b.pipeline.tokenized == []
            b.batcher.go((CHANNEL, 0))
            await b.all_closed()
            assert b.pipeline.tokenized == [["suspect"], ["other"]]

    run(main())


def test_while_an_alone_job_waits_and_runs_nothing_of_another_pipeline_is_tokenised():
    """Rule 14."""

    async def main() -> None:
        turns = Turns(Executors(VirtualThread(TOKENIZE_S), VirtualThread()))
        limits = BatchLimits(max_batch_size=8)
        suspects, others = (Bench(turns.executors, limits, share=turns.join()) for _ in range(2))
        async with running(suspects), running(others):
            suspects.add("suspect", alone=True)
            await suspects.first_event()
            others.add("other")
            await asyncio.sleep(GO_TIMEOUT_S / 2)
            suspects.batcher.go((CHANNEL, 0))
            await suspects.all_closed()
            assert others.pipeline.tokenized == []
            await others.all_closed()

    run(main())


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


async def test_started_is_sent_for_jobs_that_want_events():
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
