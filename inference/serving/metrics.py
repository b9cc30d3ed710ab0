"""Metrics that are read when Prometheus asks: the state of this process, and what workers report of theirs."""

from collections.abc import Iterator

from inference.observability.metrics import Metric, counter, gauge
from inference.request_log.writer import RequestLog
from inference.scheduling.admission import Admission
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.worker_registry import WorkerRegistry


def read_metrics(admission: Admission, dispatcher: Dispatcher, request_log: RequestLog) -> Iterator[Metric]:
    registry, totals = dispatcher.registry, dispatcher.totals
    yield gauge("pending_inputs", "Admitted and not yet answered", admission.pending_inputs)
    yield gauge("predicted_wait_seconds", "Of one more input, if it came now", admission.predicted_wait_s())
    yield gauge("queue_depth", "Jobs that wait here or at workers", dispatcher.queue_depth)
    yield gauge("credit_used", "Jobs that workers have been sent and not yet given back", dispatcher.credit_used)
    yield gauge("workers_ready", "Workers that take jobs", len(registry.serving()))
    others = len(registry.other_versions())
    yield gauge("workers_other_version", "Ready workers that get none: they serve another model", others)
    yield counter("jobs", "Jobs that the workers ran", totals.jobs)
    yield counter("batches", "Batches that the workers ran", totals.batches)
    yield counter("model_tokens", "Tokens of the jobs that the workers ran", totals.tokens)
    yield counter("computed_tokens", "The same, with the padding that was computed", totals.padded_tokens)
    yield from _cost_model(registry)
    yield counter("redispatched", "Jobs that went back to the queue", dispatcher.redispatched)
    yield gauge("log_rows_waiting", "Rows of the log that wait for the database", request_log.waiting)
    yield counter("log_rows_dropped", "Requests that the log has no room for", request_log.dropped)


def _cost_model(registry: WorkerRegistry) -> Iterator[Metric]:
    """Of one of the workers."""
    if cost := next((worker.cost for worker in registry.serving() if worker.cost), None):
        yield gauge("batch_fixed_seconds", "Cost model of a worker: per batch", cost.fixed_ms / 1000)
        yield gauge("batch_job_seconds", "Cost model of a worker: per job", cost.per_job_ms / 1000)
        yield gauge("batch_token_seconds", "Cost model of a worker: per computed token", cost.per_token_ms / 1000)
