"""The state of each pipeline as one web process sees it, for pages, probes and commands."""

from typing import Literal

import msgspec

from inference.catalog import PipelineSpec
from inference.scheduling.served_pipeline import ServedPipeline

State = Literal["ready", "loading", "failed", "unloaded", "unavailable"]


class PipelineState(msgspec.Struct, frozen=True, kw_only=True):
    """One pipeline; fields of the model are empty until a worker was ready."""

    name: str
    aliases: tuple[str, ...]
    state: State
    reason: str
    """Why it is not ready, or how far loading has come; of a ready one, why it was not reloaded."""
    task: str
    model: str
    revision: str
    version: str
    device: str
    dtype: str
    workers: int
    """Ready workers that new requests are sent to."""
    hosts: tuple[str, ...]
    """Ids of all hosts that have it, in whatever state."""
    queue: int
    """Jobs that wait in this process or at workers."""
    jobs_per_second: float
    """Of all its workers, for this process; 0 while unknown."""


def state_of(spec: PipelineSpec, served: ServedPipeline) -> PipelineState:
    state, reason = _state(served)
    d = served.description
    return PipelineState(
        name=spec.name,
        aliases=spec.aliases,
        state=state,
        reason=reason,
        task=d.task if d else spec.conf.task,
        model=d.model if d else "",
        revision=d.revision if d else "",
        version=d.version if d else "",
        device=d.device if d else "",
        dtype=d.dtype if d else "",
        workers=len(served.serving()),
        hosts=tuple(worker.host.id for worker in served.workers.values()),
        queue=served.queue_depth,
        jobs_per_second=round(served.throughput.jobs_per_s, 2),
    )


def _state(served: ServedPipeline) -> tuple[State, str]:
    workers = served.workers.values()
    if served.unloaded:
        return "unloaded", f"{served.failure}."
    if serving := served.serving():
        return "ready", next((worker.reason for worker in serving if worker.reason), "")
    if loading := [worker for worker in workers if worker.state in ("starting", "ready", "unloaded")]:
        return "loading", loading[0].reason
    if served.failure:
        return "failed", next(worker.reason for worker in workers)
    return "unavailable", "no worker has it"
