from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.backends.sizes import computed_tokens, rounded_up
from inference.messaging.messages import CostModel
from inference.worker.batching.policy import BatchChoice, BatchLimits, choose_batch

NOW = 1000.0

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


@dataclass(frozen=True)
class Waiting:
    number: int
    received_at: float = NOW
    expires_at: float = NOW + 60
    alone: bool = False
    batch_key: str = ""
    longest: int = 8
    sequences: int = 1

    @property
    def tokens(self) -> int:
        return self.longest * self.sequences


LIMITS = st.builds(
    BatchLimits,
    max_batch_size=st.integers(1, 8),
    max_batch_tokens=st.sampled_from([32, 100, 10_000]),
    batch_window_s=st.sampled_from([0.0, 0.0, 0.25, 1.0]),
    pads=st.booleans(),
)
NO_COST = CostModel(fixed_ms=0, per_job_ms=0, per_token_ms=0)
COST = CostModel(fixed_ms=4, per_job_ms=0, per_token_ms=0.1)


@st.composite
def queues(draw: st.DrawFn, max_size: int = 20) -> list[Waiting]:
    """Jobs in order of arrival; some have expired, some must run alone, and there are three batch keys."""
    ages = sorted(draw(st.lists(st.integers(0, 16), max_size=max_size)), reverse=True)
    return [
        Waiting(
            number=number,
            received_at=NOW - age / 8,
            expires_at=NOW + draw(st.integers(-3, 40)) / 8,
            alone=draw(st.integers(0, 5)) == 0,
            batch_key=draw(st.sampled_from("aab")),
            longest=draw(st.integers(1, 40)),
            sequences=draw(st.sampled_from([1, 1, 1, 3])),
        )
        for number, age in enumerate(ages)
    ]


def numbers(jobs: list[Waiting]) -> list[int]:
    return [job.number for job in jobs]


def limits(size: int = 8, window_s: float = 0.0) -> BatchLimits:
    return BatchLimits(max_batch_size=size, batch_window_s=window_s)


def drained(waiting: list[Waiting], bounds: BatchLimits, now: float = NOW) -> Iterator[BatchChoice[Waiting]]:
    """Choices until nothing waits, each taken away as a caller would, looking again when the policy says so."""
    while waiting:
        choice = choose_batch(waiting, bounds, NO_COST, now)
        yield choice
        gone = {*numbers(choice.batch), *numbers(choice.expired)}
        waiting = [job for job in waiting if job.number not in gone]
        if not choice.batch and waiting:
            assert choice.look_again_at is not None
            now = choice.look_again_at


# What holds for any jobs and limits


@steady
@given(queues(), LIMITS)
def test_a_batch_is_never_over_the_limits_unless_one_job_is(waiting: list[Waiting], bounds: BatchLimits):
    batch = choose_batch(waiting, bounds, COST, NOW).batch
    assert len(batch) <= bounds.max_batch_size
    assert len(batch) <= 1 or computed_tokens(batch, pads=bounds.pads) <= bounds.max_batch_tokens


@steady
@given(queues(), LIMITS)
def test_no_job_is_chosen_twice_and_none_is_made_up(waiting: list[Waiting], bounds: BatchLimits):
    choice = choose_batch(waiting, bounds, NO_COST, NOW)
    chosen = numbers(choice.batch) + numbers(choice.expired)
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= set(numbers(waiting))


@steady
@given(queues(), LIMITS)
def test_the_expired_are_all_that_expired_and_none_of_the_batch(waiting: list[Waiting], bounds: BatchLimits):
    choice = choose_batch(waiting, bounds, NO_COST, NOW)
    assert numbers(choice.expired) == [job.number for job in waiting if job.expires_at <= NOW]
    assert all(job.expires_at > NOW for job in choice.batch)


@steady
@given(queues(), LIMITS)
def test_a_job_that_must_be_alone_is_alone(waiting: list[Waiting], bounds: BatchLimits):
    batch = choose_batch(waiting, bounds, NO_COST, NOW).batch
    assert len(batch) == 1 or not any(job.alone for job in batch)


@steady
@given(queues(), LIMITS)
def test_a_batch_has_one_key(waiting: list[Waiting], bounds: BatchLimits):
    assert len({job.batch_key for job in choose_batch(waiting, bounds, NO_COST, NOW).batch}) <= 1


@steady
@given(queues(), LIMITS)
def test_a_batch_is_contiguous_in_order_of_length(waiting: list[Waiting], bounds: BatchLimits):
    """No job of a length between those of a batch stays behind, except of the same length as its ends."""
    bounds = replace(bounds, pads=True)
    batch = choose_batch(waiting, bounds, COST, NOW).batch
    if batch and not batch[0].alone:
        shortest, longest = min(job.longest for job in batch), max(job.longest for job in batch)
        left = [job for job in waiting if job not in batch and job.expires_at > NOW and not job.alone]
        assert not [job for job in left if job.batch_key == batch[0].batch_key and shortest < job.longest < longest]


@steady
@given(queues(), LIMITS)
def test_no_longer_batch_of_the_same_longest_job_would_do_more_per_time(waiting: list[Waiting], bounds: BatchLimits):
    """Against every window, by brute force."""
    jobs = [replace(job, expires_at=NOW + 60, alone=False, batch_key="") for job in waiting]
    if not jobs:
        return
    bounds = replace(bounds, batch_window_s=0, pads=True)
    ordered = sorted(jobs, key=lambda job: job.longest)
    oldest = ordered.index(jobs[0])
    windows = [
        ordered[left : right + 1]
        for left in range(oldest + 1)
        for right in range(oldest, len(ordered))
        if right - left < bounds.max_batch_size
    ]
    allowed = [
        window
        for window in windows
        if len(window) == 1 or computed_tokens(window, pads=True) <= bounds.max_batch_tokens
    ]

    def rate(window: list[Waiting]) -> float:
        return sum(job.tokens for job in window) / COST.predict_ms(len(window), computed_tokens(window, pads=True))

    assert rate(choose_batch(jobs, bounds, COST, NOW).batch) >= max(map(rate, allowed)) * 0.8


@steady
@given(queues(), LIMITS)
def test_without_padding_a_batch_is_the_oldest_jobs(waiting: list[Waiting], bounds: BatchLimits):
    """However long they are: none is passed over that a younger one of the batch could be."""
    batch = choose_batch(waiting, replace(bounds, pads=False), COST, NOW).batch
    alive = [job for job in waiting if job.expires_at > NOW]
    if batch and not batch[0].alone:
        mates = [job for job in alive if not job.alone and job.batch_key == batch[0].batch_key]
        assert batch == mates[: len(batch)]


@given(st.integers(1, 100_000))
def test_sizes_are_rounded_to_a_few_that_are_hardly_larger(tokens: int):
    assert tokens <= rounded_up(tokens) <= tokens * 17 / 16
    assert rounded_up(rounded_up(tokens)) == rounded_up(tokens)


def test_sizes_up_to_a_thousand_tokens_are_about_a_hundred():
    assert len({rounded_up(tokens) for tokens in range(1, 1025)}) < 120


@steady
@given(queues(), LIMITS)
def test_a_batch_holds_the_oldest_job(waiting: list[Waiting], bounds: BatchLimits):
    batch = choose_batch(waiting, bounds, NO_COST, NOW).batch
    if batch:
        assert next(job for job in waiting if job.expires_at > NOW) in batch


@steady
@given(queues(), LIMITS)
def test_the_next_look_is_in_the_future(waiting: list[Waiting], bounds: BatchLimits):
    look_again_at = choose_batch(waiting, bounds, NO_COST, NOW).look_again_at
    assert look_again_at is None or look_again_at > NOW


@steady
@given(queues(), LIMITS)
def test_there_is_a_next_look_if_and_only_if_jobs_stay_without_a_batch(waiting: list[Waiting], bounds: BatchLimits):
    choice = choose_batch(waiting, bounds, NO_COST, NOW)
    stay = len(waiting) > len(choice.expired)
    assert (choice.look_again_at is not None) == (stay and not choice.batch)


@steady
@given(queues(), st.integers(1, 8))
def test_without_a_window_whatever_waits_starts_at_once(waiting: list[Waiting], size: int):
    choice = choose_batch(waiting, limits(size), NO_COST, NOW)
    assert choice.batch or len(choice.expired) == len(waiting)


@steady
@given(queues(), LIMITS, st.lists(st.sampled_from("ab"), max_size=5))
def test_later_arrivals_never_put_off_the_next_look(waiting: list[Waiting], bounds: BatchLimits, keys: list[str]):
    before = choose_batch(waiting, bounds, NO_COST, NOW)
    later = [Waiting(100 + n, batch_key=key) for n, key in enumerate(keys)]
    after = choose_batch([*waiting, *later], bounds, NO_COST, NOW)
    if before.look_again_at is not None and not after.batch:
        assert after.look_again_at == before.look_again_at


@steady
@given(queues(), LIMITS)
def test_applied_again_and_again_every_job_comes_out_once(waiting: list[Waiting], bounds: BatchLimits):
    out = [job for choice in drained(waiting, bounds) for job in (*choice.batch, *choice.expired)]
    assert sorted(numbers(out)) == numbers(waiting)


@steady
@given(queues(), LIMITS, st.data())
def test_no_job_starves_under_a_stream_of_others(waiting: list[Waiting], bounds: BatchLimits, data: st.DataObject):
    """After at most as many batches as there were jobs, none of them waits, however many arrive meanwhile."""
    immortal = [replace(job, expires_at=NOW + 1e9) for job in waiting]
    queue, now = list(immortal), NOW
    for turn in range(len(immortal)):
        while not (choice := choose_batch(queue, bounds, NO_COST, now)).batch and choice.look_again_at is not None:
            now = choice.look_again_at
        gone = set(numbers(choice.batch))
        arrivals = [
            Waiting(1000 * (turn + 1) + n, now, NOW + 1e9, batch_key=key)
            for n, key in enumerate(data.draw(st.text("ab", max_size=3)))
        ]
        queue = [job for job in queue if job.number not in gone] + arrivals
    assert not [job for job in queue if job.number < 1000]


@steady
@given(queues(), LIMITS)
def test_the_same_input_gives_the_same_output_and_is_not_changed(waiting: list[Waiting], bounds: BatchLimits):
    before = list(waiting)
    assert choose_batch(waiting, bounds, NO_COST, NOW) == choose_batch(waiting, bounds, NO_COST, NOW)
    assert waiting == before


def test_a_choice_among_a_thousand_jobs_is_a_pure_function():
    waiting = [
        Waiting(
            number=number,
            received_at=NOW - (1000 - number) / 100,
            expires_at=NOW + number % 17 - 1,
            alone=number % 13 == 7,
            batch_key="abc"[number % 3],
            longest=5 + number * 7 % 170,
        )
        for number in range(1000)
    ]
    first = choose_batch(waiting, limits(32), NO_COST, NOW)
    assert 1 < len(first.batch) <= 32
    assert len(first.expired) == len([number for number in range(1000) if number % 17 <= 1])
    assert all(choose_batch(tuple(waiting), limits(32), NO_COST, NOW) == first for _ in range(5))


# The batch window, moment by moment


def test_nothing_waits():
    assert choose_batch([], limits(), NO_COST, NOW) == BatchChoice(batch=[], expired=[], look_again_at=None)


def test_a_first_job_waits_for_company_until_its_window_ends():
    waiting = [Waiting(0, NOW - 0.25)]
    assert choose_batch(waiting, limits(window_s=1), NO_COST, NOW) == BatchChoice(
        batch=[], expired=[], look_again_at=NOW + 0.75
    )


def test_company_starts_with_the_first_when_its_window_ends():
    waiting = [Waiting(0, NOW - 1), Waiting(1, NOW - 0.01)]
    assert numbers(choose_batch(waiting, limits(window_s=1), NO_COST, NOW).batch) == [0, 1]


def test_a_full_batch_does_not_wait_for_the_window():
    waiting = [Waiting(0), Waiting(1), Waiting(2)]
    assert numbers(choose_batch(waiting, limits(2, window_s=1), NO_COST, NOW).batch) == [0, 1]


def test_jobs_of_another_key_do_not_fill_a_batch():
    waiting = [Waiting(0, batch_key="a"), Waiting(1, batch_key="b")]
    assert not choose_batch(waiting, limits(2, window_s=1), NO_COST, NOW).batch


def test_a_job_that_runs_alone_does_not_wait_for_the_window():
    waiting = [Waiting(0, alone=True), Waiting(1)]
    assert numbers(choose_batch(waiting, limits(window_s=1), NO_COST, NOW).batch) == [0]


def test_a_batch_closes_early_for_the_tightest_deadline():
    waiting = [Waiting(0), Waiting(1, expires_at=NOW + 0.5)]
    cost = CostModel(fixed_ms=50, per_job_ms=0, per_token_ms=0)
    assert choose_batch(waiting, limits(window_s=1), cost, NOW).look_again_at == NOW + 0.4


def test_lengths_that_fit_together_run_together():
    waiting = [Waiting(n, longest=8) for n in range(6)] + [Waiting(n, longest=150) for n in (6, 7)]
    assert sorted(numbers(choose_batch(waiting, limits(), COST, NOW).batch)) == [0, 1, 2, 3, 4, 5]
    assert sorted(numbers(choose_batch(waiting[::-1], limits(), COST, NOW).batch)) == [6, 7]


def test_where_a_batch_costs_the_same_whatever_its_size_everything_runs_together():
    waiting = [Waiting(0, longest=8), Waiting(1, longest=150), Waiting(2, longest=9)]
    cost = CostModel(fixed_ms=50, per_job_ms=0, per_token_ms=0)
    assert sorted(numbers(choose_batch(waiting, limits(), cost, NOW).batch)) == [0, 1, 2]


@pytest.mark.parametrize("per_token_ms", [0.1, 0.3, 0.7, 1 / 3])
def test_equal_lengths_run_together_where_a_batch_has_no_fixed_cost(per_token_ms: float):
    waiting = [Waiting(number, longest=37) for number in range(32)]
    choice = choose_batch(waiting, limits(32), CostModel(fixed_ms=0, per_job_ms=0, per_token_ms=per_token_ms), NOW)
    assert len(choice.batch) == 32


def test_the_window_of_the_next_job_counts_from_its_own_arrival_when_the_first_expires():
    waiting = [Waiting(0, NOW - 1, expires_at=NOW), Waiting(1, NOW - 0.5)]
    choice = choose_batch(waiting, limits(window_s=1), NO_COST, NOW)
    assert (numbers(choice.batch), numbers(choice.expired), choice.look_again_at) == ([], [0], NOW + 0.5)


@pytest.mark.parametrize(("expires_in_s", "expired"), [(0.0, True), (-0.001, True), (0.001, False)])
def test_a_job_expires_at_its_moment(expires_in_s: float, expired: bool):
    choice = choose_batch([Waiting(0, expires_at=NOW + expires_in_s)], limits(), NO_COST, NOW)
    assert bool(choice.expired) == expired
    assert bool(choice.batch) != expired
