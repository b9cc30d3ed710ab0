"""The rows of the live page: what each cell says. The page is rendered from them first, and updated with them then.

A row has a ``key``, by which the page knows it again, and texts by field; ``state`` is one of ``STATES``.
"""

import os
import socket
import time
from collections.abc import Mapping

from inference.api.live.texts import NONE, clock, duration, memory, number, rate, size
from inference.catalog import PipelineSpec
from inference.models import InferenceRequest
from inference.scheduling.host_registry import HostView, WorkerView
from inference.scheduling.served_pipeline import ServedPipeline
from inference.serving.pipeline_state import state_of
from inference.serving.recent_errors import ErrorGroup
from inference.serving.service import Service

Row = dict[str, str]
Rates = Mapping[tuple[str, str], float]
"""Requests per second by pipeline and status."""
Status = InferenceRequest.Status

MOST_ERRORS = 30
"""Rows of refusals and errors."""
VERSION_CHARS = 12
MACHINE, PID = socket.gethostname(), os.getpid()
SILENT = "silent"
"""The state of a host that has said nothing for a whole period, and of its workers."""


def process_row(service: Service) -> Row:
    """The web process that answers."""
    dispatcher = service.dispatcher
    waiting, log = service.pending_inputs, service.request_log
    return {
        "key": dispatcher.channel.rpartition(".")[2],
        "machine": MACHINE,
        "pid": str(PID),
        "at": clock(time.time()),
        "state": "ready"
        if not (reason := service.unready())
        else "draining"
        if service.draining.is_set()
        else "failed",
        "reason": reason or service.different(),
        "waiting": f"{number(waiting, 'input')}, {size(dispatcher.pending_bytes)}",
        "at_workers": number(dispatcher.dispatched, "input"),
        "log": f"{number(log.waiting, 'row')} to write" + (f", {log.dropped:,} lost" if log.dropped else ""),
    }


def pipeline_row(service: Service, spec: PipelineSpec, rates: Rates | None) -> Row:
    served = service.dispatcher.pipelines[spec.name]
    state, admission, workers = state_of(spec, served), service.admissions[spec.name], served.workers.values()
    return {
        "key": spec.name,
        "name": spec.name,
        "state": state.state,
        "reason": _reason(service, served, state.reason),
        "model": f"{state.task}, {state.model}" if state.model else state.task,
        "version": state.version[:VERSION_CHARS],
        "workers": _workers(served),
        "waiting": f"{served.waiting:,}",
        "at_workers": f"{sum(worker.queue_depth for worker in workers):,}",
        "running": f"{sum(worker.running for worker in workers):,}",
        "wait": duration(admission.predicted_wait_s()),
        "speed": rate(state.jobs_per_second) if state.jobs_per_second else NONE,
        "answered": _rate(rates, spec.name, Status.OK),
        "refused": _rate(rates, spec.name, Status.REFUSED),
        "failed": _rate(rates, spec.name, Status.FAILED),
    }


def _rate(rates: Rates | None, pipeline: str, status: str) -> str:
    return NONE if rates is None else rate(rates.get((pipeline, status), 0))


def _reason(service: Service, served: ServedPipeline, reason: str) -> str:
    """Why it is not ready, or what is wrong although it is."""
    refusal = service.admissions[served.name].refusal_reason()
    return reason or (f"{refusal.reason}." if refusal else "") or service.different(served.name)


def _workers(served: ServedPipeline) -> str:
    others = len(served.workers) - (ready := len(served.serving()))
    return f"{ready} ready" + (f", {others} not" if others else "")


def worker_row(worker: WorkerView) -> Row:
    host, description, totals = worker.host, worker.description, worker.totals
    mean_batch = totals.jobs / totals.batches if totals.batches else 0
    streams = description is not None and description.streams
    return {
        "key": worker.id,
        "name": worker.pipeline,
        "host": host.process.machine or host.id,
        "host_key": host.id,
        "state": SILENT if host.unresponsive else worker.state,
        "reason": worker.reason,
        "version": worker.version[:VERSION_CHARS],
        "device": f"{description.device}, {description.dtype}" if description else NONE,
        "threads": f"{description.threads}" if description else NONE,
        "running": _running(worker.running, streams=streams),
        "waiting": f"{worker.queue_depth:,}",
        "ours": f"{worker.in_flight:,} of {worker.credit_limit:,}",
        "share": f"{worker.share:.0%}" + (f", weight {worker.weight:g}" if worker.weight != 1 else ""),
        "job_ms": duration(worker.job_ms / 1000),
        "jobs": f"{totals.jobs:,}" + (f", {mean_batch:.1f} a batch" if mean_batch and not streams else ""),
    }


def _running(jobs: int, *, streams: bool) -> str:
    if not jobs:
        return "idle"
    return number(jobs, "text") if streams else f"batch of {jobs}"


def host_row(host: HostView) -> Row:
    process = host.process
    busy = f"{process.busy_cores:.1f} of {number(process.cores, 'core')}" if process.cores else NONE
    return {
        "key": host.id,
        "name": process.machine or host.id,
        "pid": str(process.pid or NONE),
        "state": SILENT if host.unresponsive else host.state,
        "pipelines": ", ".join(worker.pipeline for worker in host.workers.values()),
        "memory": memory(process.memory_mb),
        "cores": busy,
        "ours": f"{len(host.records):,}",
        "webs": f"{host.webs:,}",
    }


def error_row(group: ErrorGroup) -> Row:
    """Without what the client was told, which may quote an input."""
    last = group.last
    return {
        "key": " ".join(map(str, group.key)),
        "time": clock(last.at),
        "state": last.status,
        "name": last.pipeline or NONE,
        "code": last.code,
        "count": "" if group.number == 1 else f"{group.number}{'' if group.complete else ' or more'}",
        "transport": last.transport,
        "request_id": last.request_id,
    }
