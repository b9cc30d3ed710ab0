import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.backends.base import FAILED
from inference.messaging.messages import Error, Job
from inference.worker.batching.policy import BatchLimits
from inference.worker.executors import Executors, ThreadExecutor
from inference.worker.item import Item
from inference.worker.tokenization import CALL_CHARS, CALL_JOBS, first_call
from tests.virtual_time import run
from tests.worker.bench import (
    BATCH_S,
    CULPRITS,
    IN_TOKENIZER,
    MISCOUNTS,
    PATIENCE_S,
    TOKENIZE_S,
    Bench,
    bench,
    virtual,
)

# Which jobs share a call


def item(number: int, chars: int) -> Item:
    text = "x" * chars
    job = Job(id=number, request_id="r", input=text, parameters={}, time_left_s=60.0)
    return Item(("inference.web.a", number), job, 0.0)


@given(st.lists(st.integers(0, 1000) | st.integers(0, 2 * CALL_CHARS), max_size=50))
def test_a_call_has_the_oldest_jobs_within_its_bounds(lengths: list[int]):
    arrived = [item(number, chars) for number, chars in enumerate(lengths)]
    chosen = first_call(arrived)
    assert chosen == arrived[: len(chosen)]
    assert bool(chosen) == bool(arrived)
    assert len(chosen) <= CALL_JOBS
    assert len(chosen) <= 1 or sum(one.chars for one in chosen) <= CALL_CHARS
    if len(chosen) < min(len(arrived), CALL_JOBS):
        assert sum(one.chars for one in arrived[: len(chosen) + 1]) > CALL_CHARS


def test_an_input_larger_than_a_call_has_one_of_its_own():
    first, second = item(1, CALL_CHARS + 1), item(2, 1)
    assert first_call([first, second]) == [first]


# Calls of the tokenizer


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
