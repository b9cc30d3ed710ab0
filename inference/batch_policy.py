"""Which waiting jobs make the next batch: a pure function of the jobs, the limits and the time."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Candidate(Protocol):
    """What the policy looks at; moments are seconds of the caller's monotonic clock."""

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
class Limits:
    max_batch_size: int
    batch_window_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Choice(Generic[C]):
    """``batch`` runs now (empty: nothing to run yet); ``expired`` are given back; look again at ``look_again_at``."""

    batch: list[C]
    expired: list[C]
    look_again_at: float | None


def choose(waiting: Sequence[C], limits: Limits, now: float) -> Choice[C]:
    """First come, first served: the oldest job and the next ones that may share its batch.

    ``waiting`` is in order of arrival. A batch starts as soon as it is full or its first job has waited for the
    batch window, counted from that job's arrival and never reset. A job that must run alone is a batch of one.
    """
    expired = [job for job in waiting if job.expires_at <= now]
    alive = [job for job in waiting if job.expires_at > now] if expired else waiting
    if not alive:
        return Choice(batch=[], expired=expired, look_again_at=None)
    first = alive[0]
    batch = [first] if first.alone else _companions(alive, limits)
    starts_at = first.received_at + limits.batch_window_s
    if first.alone or len(batch) == limits.max_batch_size or starts_at <= now:
        return Choice(batch=batch, expired=expired, look_again_at=None)
    soonest_end = min(job.expires_at for job in alive)
    return Choice(batch=[], expired=expired, look_again_at=min(starts_at, soonest_end))


def _companions(alive: Sequence[C], limits: Limits) -> list[C]:
    key = alive[0].batch_key
    batch: list[C] = []
    for job in alive:
        if len(batch) == limits.max_batch_size:
            break
        if not job.alone and job.batch_key == key:
            batch.append(job)
    return batch
