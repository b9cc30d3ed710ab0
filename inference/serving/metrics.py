"""Metrics that are read when Prometheus asks: the state of this process, and what workers report of theirs."""

from collections.abc import Iterator, Mapping

from inference.access.limits import LimitCounters
from inference.messaging.messages import CostModel
from inference.observability.metrics import Metric, counter, counters, gauge, gauges
from inference.request_log.writer import RequestLog
from inference.scheduling.admission import Admission
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.served_pipeline import ServedPipeline


def read_metrics(
    admissions: Mapping[str, Admission], dispatcher: Dispatcher, request_log: RequestLog, limits: LimitCounters
) -> Iterator[Metric]:
    """``admissions`` by the name of their pipeline."""
    pipelines = dispatcher.pipelines
    pending = {name: admission.pending_inputs for name, admission in admissions.items()}
    yield gauges("pending_inputs", "Inputs admitted and not yet answered.", pending)
    wait_s = {name: admission.predicted_wait_s() for name, admission in admissions.items()}
    yield gauges("predicted_wait_seconds", "Predicted time until one more input would be answered.", wait_s)
    size = dispatcher.pending_bytes
    yield gauge("pending_bytes", "Size of the inputs admitted and not yet answered.", size)
    depths = {name: pipeline.queue_depth for name, pipeline in pipelines.items()}
    yield gauges("queue_depth", "Jobs that wait in this process or at workers.", depths)
    dispatched = dispatcher.dispatched
    yield gauge("dispatched_jobs", "Jobs sent to workers whose closing entry has not arrived.", dispatched)
    redispatched = {name: pipeline.redispatched for name, pipeline in pipelines.items()}
    yield counters("redispatched_jobs", "Jobs put back into the queue after they were sent.", redispatched)
    yield gauge("worker_hosts", "Worker hosts that this process hears from.", len(dispatcher.registry))
    yield from _workers(pipelines)
    yield from _cost_models(pipelines)
    yield counters("limited_requests", "Requests refused for a limit of their key.", limits.refused, "limit")
    yield gauge("request_log_pending_rows", "Rows of the log not yet written to the database.", request_log.waiting)
    lost = "Requests missing from the log: its buffer was full or the database rejected the row."
    yield counter("request_log_dropped_requests", lost, request_log.dropped)


def _workers(pipelines: Mapping[str, ServedPipeline]) -> Iterator[Metric]:
    ready = {name: len(pipeline.serving()) for name, pipeline in pipelines.items()}
    yield gauges("workers_ready", "Ready workers that new requests are sent to.", ready)
    others = {name: len(pipeline.other_versions()) for name, pipeline in pipelines.items()}
    other = "Ready workers without new requests: they serve another version."
    yield gauges("workers_version_mismatch", other, others)
    failed = {
        name: sum(worker.state == "failed" for worker in pipeline.workers.values())
        for name, pipeline in pipelines.items()
    }
    yield gauges("workers_failed", "Workers whose pipeline could not be loaded.", failed)
    totals = {name: pipeline.totals for name, pipeline in pipelines.items()}
    yield counters("jobs", "Jobs that workers ran.", {name: t.jobs for name, t in totals.items()})
    yield counters("batches", "Batches that workers ran.", {name: t.batches for name, t in totals.items()})
    tokens = {name: t.tokens for name, t in totals.items()}
    yield counters("job_tokens", "Tokens of the jobs that workers ran, without padding.", tokens)
    computed = {name: t.padded_tokens for name, t in totals.items()}
    yield counters("computed_tokens", "Tokens that workers computed, padding included.", computed)
    reused = {name: t.reused_tokens for name, t in totals.items()}
    yield counters("prefix_cache_tokens", "Tokens of prompts that workers had read before.", reused)
    evictions = {name: t.evictions for name, t in totals.items()}
    yield counters("prefix_cache_evictions", "Parts of prompts that workers kept and gave up for others.", evictions)
    guessed = {name: t.guessed_tokens for name, t in totals.items()}
    yield counters("guessed_tokens", "Tokens of texts that workers guessed, and checked several at once.", guessed)
    right = {name: t.right_guesses for name, t in totals.items()}
    yield counters("right_guesses", "Guessed tokens that were right: each saved a step of the model.", right)
    held = {
        name: sum(worker.prefix_bytes for worker in pipeline.workers.values()) for name, pipeline in pipelines.items()
    }
    yield gauges("prefix_cache_bytes", "Memory of workers with what prompts began with.", held)


def _cost_models(pipelines: Mapping[str, ServedPipeline]) -> Iterator[Metric]:
    """Of one worker of each pipeline."""
    costs: dict[str, CostModel] = {}
    for name, pipeline in pipelines.items():
        if cost := next((worker.cost for worker in pipeline.serving() if worker.cost), None):
            costs[name] = cost
    if costs:
        for unit in ("batch", "job", "token"):
            text = f"Cost model of a worker: time per {'computed ' if unit == 'token' else ''}{unit}."
            field = {"batch": "fixed_ms", "job": "per_job_ms", "token": "per_token_ms"}[unit]
            seconds = {name: getattr(cost, field) / 1000 for name, cost in costs.items()}
            yield gauges(f"cost_model_{unit}_seconds", text, seconds)
