"""Metrics that are read when Prometheus asks: the state of this process, and what workers report of theirs."""

from collections.abc import Iterator

from inference.observability.metrics import Metric, counter, gauge
from inference.request_log.writer import RequestLog
from inference.scheduling.admission import Admission
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.worker_registry import WorkerRegistry


def read_metrics(admission: Admission, dispatcher: Dispatcher, request_log: RequestLog) -> Iterator[Metric]:
    yield gauge("pending_inputs", "Inputs admitted and not yet answered.", admission.pending_inputs)
    wait_s = admission.predicted_wait_s()
    yield gauge("predicted_wait_seconds", "Predicted time until one more input would be answered.", wait_s)
    yield gauge("queue_depth", "Jobs that wait in this process or at workers.", dispatcher.queue_depth)
    dispatched = dispatcher.dispatched
    yield gauge("dispatched_jobs", "Jobs sent to workers whose closing entry has not arrived.", dispatched)
    yield counter("redispatched_jobs", "Jobs put back into the queue after they were sent.", dispatcher.redispatched)
    yield from _workers(dispatcher)
    yield from _cost_model(dispatcher.registry)
    yield gauge("request_log_pending_rows", "Rows of the log not yet written to the database.", request_log.waiting)
    lost = "Requests missing from the log: its buffer was full or the database rejected the row."
    yield counter("request_log_dropped_requests", lost, request_log.dropped)


def _workers(dispatcher: Dispatcher) -> Iterator[Metric]:
    registry, totals = dispatcher.registry, dispatcher.totals
    yield gauge("workers_ready", "Ready workers that new requests are sent to.", len(registry.serving()))
    others, other = len(registry.other_versions()), "Ready workers without new requests: they serve another version."
    yield gauge("workers_version_mismatch", other, others)
    yield counter("jobs", "Jobs that workers ran.", totals.jobs)
    yield counter("batches", "Batches that workers ran.", totals.batches)
    yield counter("job_tokens", "Tokens of the jobs that workers ran, without padding.", totals.tokens)
    yield counter("computed_tokens", "Tokens that workers computed, padding included.", totals.padded_tokens)


def _cost_model(registry: WorkerRegistry) -> Iterator[Metric]:
    """Of one of the workers."""
    if cost := next((worker.cost for worker in registry.serving() if worker.cost), None):
        yield gauge("cost_model_batch_seconds", "Cost model of a worker: time per batch.", cost.fixed_ms / 1000)
        yield gauge("cost_model_job_seconds", "Cost model of a worker: time per job.", cost.per_job_ms / 1000)
        token_s = cost.per_token_ms / 1000
        yield gauge("cost_model_token_seconds", "Cost model of a worker: time per computed token.", token_s)
