"""The batch policy: the next batch as a pure function of waiting jobs, limits, cost model and time.

It is for pipelines that run a batch in one call; ``continuous_batcher`` decides which generated texts run together.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from inference.backends.sizes import Sized, computed_tokens, rounded_up
from inference.messaging.messages import CostModel

ROUNDING = 1 - 1e-9
"""Shares that differ by less are equal: without a fixed cost, jobs of equal length still run together."""


class Candidate(Sized, Protocol):
    """What the policy needs of a job; moments are seconds of the caller's monotonic clock."""

    @property
    def received_at(self) -> float: ...
    @property
    def expires_at(self) -> float: ...
    @property
    def alone(self) -> bool: ...
    @property
    def batch_key(self) -> Hashable: ...


C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    max_batch_size: int
    max_batch_tokens: int = 1_000_000_000
    """Computed tokens; bounds memory. A larger input runs by itself."""
    batch_window_s: float = 0.0
    pads: bool = True
    """Whether the model pads every sequence of a batch to the longest; otherwise lengths do not matter."""
    max_ms: float = math.inf
    """Predicted time of a batch; an input that takes longer runs by itself."""


@dataclass(frozen=True, kw_only=True)
class BatchChoice(Generic[C]):
    """``batch`` runs now (empty: nothing yet); ``expired`` are given back; call again at ``look_again_at``."""

    batch: list[C]
    expired: list[C]
    look_again_at: float | None


def choose_batch(waiting: Sequence[C], limits: BatchLimits, cost: CostModel, now: float) -> BatchChoice[C]:
    """The oldest job, with those others that make the best use of the model's time.

    ``waiting`` is in order of arrival. A batch starts as soon as it is full, or its oldest job has waited for the
    batch window (counted from that job's arrival and never reset), or waiting longer would cost a job its deadline.
    A job that must run alone is a batch of one. The oldest job is in every batch, so none starves.
    """
    expired = [job for job in waiting if job.expires_at <= now]
    alive = [job for job in waiting if job.expires_at > now] if expired else waiting
    if not alive:
        return BatchChoice(batch=[], expired=expired, look_again_at=None)
    oldest = alive[0]
    if oldest.alone:
        return BatchChoice(batch=[oldest], expired=expired, look_again_at=None)
    mates = [job for job in alive if not job.alone and job.batch_key == oldest.batch_key]
    if len(mates) < limits.max_batch_size:
        soonest_end = min(job.expires_at for job in alive)
        last_start = soonest_end - 2 * cost.predict_ms(len(mates), computed_tokens(mates, pads=limits.pads)) / 1000
        starts_at = min(oldest.received_at + limits.batch_window_s, last_start)
        if starts_at > now:
            return BatchChoice(batch=[], expired=expired, look_again_at=starts_at)
    batch = _best_window(mates, oldest, limits, cost) if limits.pads else _oldest(mates, limits, cost)
    return BatchChoice(batch=batch, expired=expired, look_again_at=None)


def _fits(jobs: int, computed: int, limits: BatchLimits, cost: CostModel) -> bool:
    """Whether several jobs may be one batch."""
    return computed <= limits.max_batch_tokens and cost.predict_ms(jobs, computed) <= limits.max_ms


def _oldest(mates: Sequence[C], limits: BatchLimits, cost: CostModel) -> list[C]:
    """As many as fit, in order of arrival."""
    batch: list[C] = []
    tokens = 0
    for job in mates[: limits.max_batch_size]:
        tokens += job.tokens
        if batch and not _fits(len(batch) + 1, rounded_up(tokens), limits, cost):
            break
        batch.append(job)
    return batch


def _best_window(mates: Sequence[C], oldest: C, limits: BatchLimits, cost: CostModel) -> list[C]:
    """Of the jobs in order of length, the run around the oldest whose work is the largest share of its cost.

    For each longest job, shorter ones are added as long as the share grows: each adds its work at the price of the
    longest, so once one does not help, no shorter one does.
    """
    ordered = sorted(mates, key=lambda job: job.longest)
    middle = ordered.index(oldest)
    best, best_share = [oldest], 0.0
    tokens = sequences = 0
    for right in range(middle, min(len(ordered), middle + limits.max_batch_size)):
        longest = ordered[right].longest
        tokens += ordered[right].tokens
        sequences += ordered[right].sequences
        if right > middle and not _fits(right - middle + 1, sequences * longest, limits, cost):
            break
        share = _share(right - middle + 1, tokens, sequences * longest, cost)
        left, more_tokens, more_sequences = middle, tokens, sequences
        while left > 0 and right - left + 1 < limits.max_batch_size:
            job = ordered[left - 1]
            padded = (more_sequences + job.sequences) * longest
            better = _share(right - left + 2, more_tokens + job.tokens, padded, cost)
            if better < share * ROUNDING or not _fits(right - left + 2, padded, limits, cost):
                break
            left, share = left - 1, better
            more_tokens, more_sequences = more_tokens + job.tokens, more_sequences + job.sequences
        if share >= best_share * ROUNDING:
            best, best_share = list(ordered[left : right + 1]), share
    return best


def _share(jobs: int, tokens: int, padded: int, cost: CostModel) -> float:
    """The share of a batch's predicted time that is work; of its tokens, while nothing is known about cost."""
    predicted = cost.predict_ms(jobs, padded)
    return cost.useful_ms(jobs, tokens) / predicted if predicted else tokens / padded
