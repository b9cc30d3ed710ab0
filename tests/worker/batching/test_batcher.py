import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.backends.base import FAILED, Outcome
from inference.messaging.messages import Error, Event, Result, Returned, Totals
from inference.tasks.arrays import Array
from inference.tasks.media import Media
from inference.worker.batching.cost_model import MEMORY
from inference.worker.batching.policy import BatchLimits
from inference.worker.executors import Executors
from inference.worker.item import Item
from inference.worker.job_runner import GO_TIMEOUT_S
from inference.worker.turns import Turns
from tests.virtual_time import START_S, run
from tests.worker.bench import (
    BATCH_S,
    CHANNEL,
    CULPRITS,
    DEAR_BATCHES,
    FAULTS,
    IN_TOKENIZER,
    TOKENIZE_S,
    Bench,
    Tokens,
    VirtualThread,
    answer_to,
    bench,
    running,
    steady,
    virtual,
)


@dataclass(frozen=True)
class ReadTokens(Tokens):
    input_tokens: int = 0
    truncated: bool = False


# Batches


async def test_each_job_gets_its_own_answer():
    async with bench(size=3) as b:
        b.add("one", "two", "three", "four", "five")
        assert await b.outputs() == [b'"ONE"', b'"TWO"', b'"THREE"', b'"FOUR"', b'"FIVE"']
        assert b.pipeline.batches == [["one", "two", "three"], ["four", "five"]]


async def test_a_result_says_how_many_tokens_were_read_and_whether_the_rest_was_cut():
    async with bench(size=3) as b:
        prepared = [Tokens("an image", 9), ReadTokens("a text", 1, input_tokens=7), ReadTokens("cut", 1, 1, 512, True)]
        b.pipeline.prepare = lambda jobs: prepared  # type: ignore[method-assign]
        b.add("an image", "a text", "cut")
        closed = [closing for closing in await b.all_closed() if isinstance(closing, Result)]
        assert [(closing.tokens, closing.truncated) for closing in closed] == [(0, False), (7, False), (512, True)]


async def test_jobs_of_a_batch_share_its_time_by_their_tokens():
    async with bench(size=3) as b:
        prepared = [Tokens("a", 1), Tokens("b", 1), Tokens("c", 6)]
        b.pipeline.prepare = lambda jobs: prepared  # type: ignore[method-assign]
        b.add("a", "b", "c")
        closed = [closing for closing in await b.all_closed() if isinstance(closing, Result)]
        (whole,) = {closing.inference_ms for closing in closed}
        assert [closing.model_ms for closing in closed] == pytest.approx([whole / 8, whole / 8, whole * 6 / 8])


async def test_a_result_has_the_shape_of_an_array():
    async with bench() as b:
        outcomes: list[Outcome] = [Array((2, 1), b"12345678"), Media(b"...", "audio/wav"), b"{}"]
        b.pipeline.run = lambda batch: [outcomes[int(each.text)] for each in batch]  # type: ignore[method-assign]
        b.add("0", "1", "2")
        closed = [closing for closing in await b.all_closed() if isinstance(closing, Result)]
        assert [(closing.output, closing.shape, closing.media_type) for closing in closed] == [
            (b"12345678", (2, 1), ""),
            (b"...", (), "audio/wav"),
            (b"{}", (), ""),
        ]


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


def test_a_free_executor_takes_what_arrives_while_the_other_works():
    async def main() -> None:
        async with side_by_side(size=1) as (b, _, narrow):
            b.add("a", "b", "c", "d")
            await b.all_closed()
            assert [len(thread.spans) for thread in narrow] == [2, 2]

    run(main())


def test_a_batch_that_fails_on_one_executor_does_not_affect_the_other():
    async def main() -> None:
        async with side_by_side() as (b, _, narrow):
            b.add("a", "poison", "c", "d")
            outputs = await b.outputs()
            assert [output is None for output in outputs] == [False, True, False, False]
            assert sorted(len(thread.spans) for thread in narrow) == [1, 3]

    run(main())


# Beside another pipeline


@asynccontextmanager
async def two(
    narrow: int = 0, window_s: float = 0.0, warm_up_costs: Sequence[tuple[int, int, float]] = (), tokenize_s: float = 0
) -> AsyncIterator[tuple[Bench, Bench]]:
    """Two batchers in virtual time that share the threads of a host. Only the second one has a window."""
    wide = VirtualThread()
    executors = Executors(VirtualThread(tokenize_s), wide, [VirtualThread(spans=wide.spans) for _ in range(narrow)])
    turns = Turns(executors)
    limits = [BatchLimits(max_batch_size=64, batch_window_s=s) for s in (0.0, window_s)]
    a, b = (Bench(executors, limit, warm_up_costs=warm_up_costs, share=turns.join()) for limit in limits)
    async with running(a), running(b):
        yield a, b


def test_two_pipelines_take_turns():
    async def main() -> None:
        async with two() as (a, b):
            for opened in (a, b):
                opened.batcher._limits = BatchLimits(max_batch_size=1)
                opened.add(*"1234")
            await a.all_closed()
            await b.all_closed()
            ends = sorted([(s, "a") for s in a.closed_at_s.values()] + [(s, "b") for s in b.closed_at_s.values()])
            assert [name for _, name in ends] == ["a", "b"] * 4
            assert [s for s, _ in ends] == [BATCH_S * n for n in range(1, 9)], "one at a time, and no gap"

    run(main())


def test_a_batch_takes_no_longer_than_a_turn_while_another_pipeline_waits():
    """A job takes 40 ms, so that two fit into a turn of 100 ms."""

    async def main() -> None:
        async with two(warm_up_costs=[(n, n, 40.0 * n) for n in (1, 2, 4, 8)] * 500) as (a, b):
            a.add(*"abcdef")
            await a.all_closed()
            assert [len(batch) for batch in a.pipeline.batches] == [6], "alone there is no such bound"
            a.pipeline.batches.clear()
            b.add("first")
            await asyncio.sleep(BATCH_S / 2)
            a.add(*"abcdef")
            b.add(*"abcdef")
            await a.all_closed()
            await b.all_closed()
            assert [len(batch) for batch in a.pipeline.batches] == [2, 2, 2]
            assert [len(batch) for batch in b.pipeline.batches] == [1, 2, 2, 2]

    run(main())


def test_a_window_ends_although_it_began_while_another_pipeline_had_the_thread():
    """Nothing else wakes the batcher: neither another job nor another batch."""

    async def main() -> None:
        async with two(window_s=2 * BATCH_S) as (a, b):
            a.add("1")
            await asyncio.sleep(BATCH_S / 2)
            a.add("2")
            b.add("waits for company")
            await b.all_closed()
            assert b.closed_at_s == {0: (0.5 + 2 + 1) * BATCH_S}

    run(main())


def test_a_lone_job_of_one_pipeline_runs_beside_a_batch_of_another():
    """It would have all cores if it were alone here."""

    async def main() -> None:
        async with two(narrow=2) as (a, b):
            a.add(*"1234")
            await asyncio.sleep(BATCH_S / 2)
            b.add("lone")
            a.add(*"5678")
            await b.all_closed()
            assert (len(a.closings), b.closed_at_s) == (6, {0: 2 * BATCH_S})
            await a.all_closed()

    run(main())


def test_a_pipeline_that_runs_one_batch_at_a_time_does_so_beside_one_that_runs_several():
    async def main() -> None:
        async with two(narrow=2) as (a, b):
            a.pipeline.concurrent_batches = 1
            a.batcher._limits = BatchLimits(max_batch_size=2)
            a.add(*"12345678")
            await a.all_closed()
            assert sorted(a.closed_at_s.values()) == [BATCH_S * n for n in (1, 1, 2, 2, 3, 3, 4, 4)]
            b.add(*"12345678")
            await b.all_closed()
            assert set(b.closed_at_s.values()) == {5 * BATCH_S}, "side by side"

    run(main())


def test_a_suspect_of_one_pipeline_has_nothing_of_the_other_beside_it():
    async def main() -> None:
        async with two(narrow=2, tokenize_s=TOKENIZE_S) as (a, b):
            a.gives_go = True
            a.add("suspect", alone=True)
            await asyncio.sleep(TOKENIZE_S / 2)
            b.add(*"1234")
            await asyncio.sleep(TOKENIZE_S + BATCH_S / 2)
            assert (b.pipeline.tokenized, b.pipeline.batches) == ([], [])
            await b.all_closed()
            assert a.closed_at_s == {0: TOKENIZE_S + BATCH_S}
            assert set(b.closed_at_s.values()) == {2 * (TOKENIZE_S + BATCH_S)}

    run(main())


def test_a_batcher_that_has_ended_starts_nothing_in_the_turns_of_others():
    async def main() -> None:
        turns = Turns(Executors(VirtualThread(0), VirtualThread()))
        a, b = (Bench(turns.executors, BatchLimits(max_batch_size=1), share=turns.join()) for _ in range(2))
        async with running(a):
            a.add("1", "2")
            await asyncio.sleep(BATCH_S / 2)
            async with running(b):
                b.add("3")
                await asyncio.sleep(BATCH_S / 4)
            await a.all_closed()
            assert b.pipeline.tokenized == [["3"]]
            assert b.pipeline.batches == []

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


async def test_a_result_says_how_much_of_its_batch_was_padding():
    async with bench(size=2) as b:
        b.add("a", "b..")
        await b.all_closed()
        b.add("c.")
        padding = [closing.padding for closing in await b.all_closed() if isinstance(closing, Result)]
        assert padding == [pytest.approx(1 / 3), pytest.approx(1 / 3), 0.0]


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
        assert b.batcher.cost.job_ms == pytest.approx(500 / 8), "its share of a batch of eight"


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
            assert first == Result(0, b'"FIRST"', 0.0, BATCH_S * 1000, 1, model_ms=BATCH_S * 1000)
            assert second == Result(1, b'"SECOND"', BATCH_S * 500, BATCH_S * 1000, 1, model_ms=BATCH_S * 1000)

    run(main())


def test_tokenising_is_part_of_the_wait():
    async def main() -> None:
        async with virtual(tokenize_s=TOKENIZE_S) as b:
            b.add("a")
            assert await b.all_closed() == [
                Result(0, b'"A"', TOKENIZE_S * 1000, BATCH_S * 1000, 1, model_ms=BATCH_S * 1000)
            ]

    run(main())
