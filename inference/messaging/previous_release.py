"""Messages of the release before, so that web processes and hosts of both work together during a rolling deploy.

In release 1 a host had one worker, whose id was the host's, and its status carried the description.
"""

import msgspec

from inference.messaging.messages import (
    DEFAULT_PIPELINE,
    CostModel,
    Description,
    Facts,
    HostStatus,
    State,
    Totals,
    WorkerStatus,
)

FACTS_N = 1


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """``HostStatus`` of release 1."""

    worker: str
    channel: str
    heard: int
    state: State
    description: Description | None
    queue_depth: int
    cost: CostModel | None
    job_ms: float
    totals: Totals
    webs: int
    credit: int
    held: tuple[int, ...]


def status_of(status: HostStatus, worker: WorkerStatus, description: Description | None) -> Status:
    """As a web process of release 1 understands it: about the one worker that it may use."""
    return Status(
        worker=status.host,
        channel=status.channel,
        heard=status.heard,
        state="starting" if worker.state in ("failed", "unloaded") else worker.state,
        description=description,
        queue_depth=worker.queue_depth,
        cost=worker.cost,
        job_ms=worker.job_ms,
        totals=worker.totals,
        webs=status.webs,
        credit=worker.credit,
        held=status.held,
    )


def upgraded(status: Status) -> tuple[HostStatus, Facts | None]:
    """What a host of release 1 says, in messages of this one."""
    described = status.description
    worker = WorkerStatus(
        worker=status.worker,
        pipeline=DEFAULT_PIPELINE,
        version=described.version if described else "",
        state=status.state,
        credit=status.credit,
        queue_depth=status.queue_depth,
        job_ms=status.job_ms,
        cost=status.cost,
        totals=status.totals,
        facts_n=FACTS_N if described else 0,
    )
    host = HostStatus(
        host=status.worker,
        channel=status.channel,
        heard=status.heard,
        state=status.state,
        webs=status.webs,
        held=status.held,
        workers=(worker,),
    )
    return host, Facts(status.worker, status.worker, FACTS_N, described) if described else None
