import asyncio
from collections.abc import Iterable
from typing import Any, cast

import msgspec
import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from inference import catalog
from inference.conf import Conf
from inference.errors import InferenceError, InferenceFailed, Invalid, Overloaded
from inference.messaging.messages import CostModel, Description, Facts, Result, Totals
from inference.observability import metrics
from inference.observability.metrics import Metrics, counter, counters, gauge, gauges
from inference.request_log.writer import RequestLog
from inference.scheduling.calls import NO_EVENTS, Answer, Events, Work
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.host_registry import WorkerView
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.service import Service
from tests.messaging.recording_layer import RecordingLayer
from tests.scheduling.test_fair_queue import make_call
from tests.scheduling.test_host_registry import DESCRIPTION, hold, part, status

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

HISTOGRAMS = {
    "inference_request_duration_seconds": metrics.SECONDS_BUCKETS,
    "inference_queue_duration_seconds": metrics.SECONDS_BUCKETS,
    "inference_model_duration_seconds": metrics.SECONDS_BUCKETS,
    "inference_batch_size": metrics.SIZE_BUCKETS,
    "inference_time_to_first_token_seconds": metrics.SECONDS_BUCKETS,
}
COUNTERS = ("inference_requests", "inference_slow_reader_disconnects", "inference_generated_tokens")
TIME_TO_FIRST_TOKEN = "inference_time_to_first_token_seconds"
COLLECTED = {
    "inference_pending_inputs": "gauge",
    "inference_pending_bytes": "gauge",
    "inference_queue_depth": "gauge",
    "inference_dispatched_jobs": "gauge",
    "inference_predicted_wait_seconds": "gauge",
    "inference_worker_hosts": "gauge",
    "inference_workers_ready": "gauge",
    "inference_workers_failed": "gauge",
    "inference_workers_version_mismatch": "gauge",
    "inference_batches": "counter",
    "inference_jobs": "counter",
    "inference_job_tokens": "counter",
    "inference_computed_tokens": "counter",
    "inference_redispatched_jobs": "counter",
    "inference_prefix_cache_tokens": "counter",
    "inference_prefix_cache_evictions": "counter",
    "inference_guessed_tokens": "counter",
    "inference_right_guesses": "counter",
    "inference_prefix_cache_bytes": "gauge",
    "inference_request_log_pending_rows": "gauge",
    "inference_request_log_dropped_requests": "counter",
    "inference_limited_requests": "counter",
}


def families(found: Metrics) -> dict[str, Metric]:
    """By name, without the ``_created`` series of the client library."""
    every = text_string_to_metric_families(found.text().decode())
    return {family.name: family for family in every if not family.name.endswith("_created")}


def samples(found: Metrics) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(found).values()
        for sample in family.samples
    }


def value(found: Metrics, name: str, **labels: str) -> float:
    return samples(found)[name, tuple(sorted(labels.items()))]


def nothing() -> Iterable[Metric]:
    return ()


def make_metrics() -> Metrics:
    return Metrics(nothing, ["chat"])


# Metrics


def test_all_metrics_of_requests_exist_from_the_start():
    kinds = {name: family.type for name, family in families(Metrics(nothing)).items()}
    assert kinds == dict.fromkeys(COUNTERS, "counter") | dict.fromkeys(HISTOGRAMS, "histogram")


def test_every_metric_has_a_help_text():
    assert all(family.documentation for family in families(Metrics(lambda: [gauge("a", "A help text.", 1)])).values())


def test_requests_are_counted_by_pipeline_transport_status_and_code():
    m = Metrics(nothing)
    for code in ("", "", "validation"):
        m.count("chat", "http", "failed" if code else "ok", code, 1.0)
    m.count("chat", "websocket", "ok", "", 1.0)
    m.count("topics", "websocket", "ok", "", 1.0)
    counted = {
        tuple(sample.labels[name] for name in ("pipeline", "transport", "status", "code")): sample.value
        for sample in families(m)["inference_requests"].samples
        if sample.name == "inference_requests_total"
    }
    assert counted == {
        ("chat", "http", "ok", ""): 2,
        ("chat", "http", "failed", "validation"): 1,
        ("chat", "websocket", "ok", ""): 1,
        ("topics", "websocket", "ok", ""): 1,
    }


def test_metrics_of_a_pipeline_are_there_before_its_first_request():
    m = make_metrics()
    assert {name: value(m, f"{name}_count", pipeline="chat") for name in HISTOGRAMS} == dict.fromkeys(HISTOGRAMS, 0)
    assert value(m, "inference_generated_tokens_total", pipeline="chat") == 0


def test_each_pipeline_has_its_own():
    m = Metrics(nothing, ["chat", "topics"])
    m.count("chat", "http", "ok", "", 1.0)
    m.observe("chat", 20.0, 300.0, 4)
    m.observe_tokens("chat", 250.0, 7)
    for pipeline, count in (("chat", 1), ("topics", 0)):
        assert {value(m, f"{name}_count", pipeline=pipeline) for name in HISTOGRAMS} == {count}


@pytest.mark.parametrize(("name", "buckets"), HISTOGRAMS.items())
def test_the_buckets_of_a_histogram(name: str, buckets: tuple[float, ...]):
    edges = [
        float(sample.labels["le"])
        for sample in families(make_metrics())[name].samples
        if sample.name == f"{name}_bucket"
    ]
    assert edges == [*buckets, float("inf")]


def test_times_are_in_seconds():
    m = make_metrics()
    m.count("chat", "http", "ok", "", 1500.0)
    m.observe("chat", 20.0, 300.0, 4)
    m.observe_tokens("chat", 250.0, 7)
    sums = {name: value(m, f"{name}_sum", pipeline="chat") for name in HISTOGRAMS}
    assert sums == {
        "inference_request_duration_seconds": 1.5,
        "inference_queue_duration_seconds": 0.02,
        "inference_model_duration_seconds": 0.3,
        "inference_batch_size": 4,
        "inference_time_to_first_token_seconds": 0.25,
    }
    assert value(m, "inference_generated_tokens_total", pipeline="chat") == 7
    assert {value(m, f"{name}_count", pipeline="chat") for name in HISTOGRAMS} == {1}


def test_buckets_are_cumulative():
    m = make_metrics()
    m.observe("chat", 0.0, 60.0, 1)
    buckets = "inference_model_duration_seconds_bucket"
    assert [value(m, buckets, pipeline="chat", le=edge) for edge in ("0.05", "0.1", "60.0")] == [0, 1, 1]


def test_a_request_without_an_answer_counts_in_no_other_histogram():
    m = make_metrics()
    m.count("chat", "http", "refused", "overloaded", 1.0)
    assert {name: value(m, f"{name}_count", pipeline="chat") for name in HISTOGRAMS} == {
        "inference_request_duration_seconds": 1,
        "inference_queue_duration_seconds": 0,
        "inference_model_duration_seconds": 0,
        "inference_batch_size": 0,
        "inference_time_to_first_token_seconds": 0,
    }


def test_collected_metrics_are_read_at_each_scrape():
    now = [1.0]
    m = Metrics(lambda: [gauge("depth", "A depth", now[0]), counter("done", "What is done", now[0])])
    seen = []
    for now[0] in (2.0, 3.0):
        seen.append((value(m, "inference_depth"), value(m, "inference_done_total")))
    assert seen == [(2, 2), (3, 3)]


def test_collected_metrics_of_pipelines_are_labelled():
    m = Metrics(lambda: [gauges("depth", "A depth", {"a": 1, "b": 2}), counters("done", "What is done", {"a": 3})])
    assert [value(m, "inference_depth", pipeline=name) for name in "ab"] == [1, 2]
    assert value(m, "inference_done_total", pipeline="a") == 3


def test_registries_are_independent():
    one, other = make_metrics(), make_metrics()
    one.count("chat", "http", "ok", "", 1.0)
    assert value(other, "inference_request_duration_seconds_count", pipeline="chat") == 0


def test_label_values_are_escaped():
    m = Metrics(nothing)
    m.count("chat", "http", "failed", 'a "code"\n\\', 1.0)
    labels = {"pipeline": "chat", "transport": "http", "status": "failed", "code": 'a "code"\n\\'}
    assert value(m, "inference_requests_total", **labels) == 1


# The metrics of a service


class Answering(Dispatcher):
    """Answers every input at once, or raises."""

    raises: Exception | None = None

    async def run(self, work: Work, events: Events = NO_EVENTS) -> list[Answer | InferenceError]:
        if self.raises:
            raise self.raises
        return [Answer(Result(0, b"{}", 10.0, 20.0, 3), "w", waited_ms=30.0, times_sent=1) for _ in work.inputs]


PIPELINES = {name: {"task": "fill-mask", "model": "a/model"} for name in ("chat", "topics")}
OF_PROCESS = (
    *("inference_pending_bytes", "inference_dispatched_jobs", "inference_worker_hosts"),
    *("inference_request_log_pending_rows", "inference_request_log_dropped_requests"),
)
"""Collected metrics that pipelines share."""
LIMITS = ("requests_per_minute", "units_per_day", "inputs_in_flight")


def make_service(**conf: Any) -> Service:
    settings = Conf(**conf)
    known = catalog.of(settings)
    return Service(settings, known, Answering(RecordingLayer(), known.names), RequestLog())


def hear(service: Service, host: str = "h", description: Description = DESCRIPTION, **fields: Any) -> WorkerView:
    """The worker after a status of its host, and its facts."""
    dispatcher = service.dispatcher
    dispatcher._on_status(status(host, version=description.version, facts_n=1, **fields))
    dispatcher._on_facts(Facts(host, f"{host}-w", 1, description))
    known = dispatcher.registry.get(host)
    assert known is not None
    return known.workers[f"{host}-w"]


def of_default(found: Metrics, name: str, **labels: str) -> float:
    return value(found, name, pipeline="default", **labels)


async def ask(service: Service, *texts: str, pipeline: str | None = None) -> None:
    query = Query(inputs=list(texts), many=len(texts) > 1, parameters=None, deadline_s=None)
    await service.answer(RequestContext(transport="python"), lambda: query, pipeline=pipeline)


async def test_a_service_has_these_metrics_and_no_others():
    service = make_service()
    known = {**dict.fromkeys(COUNTERS, "counter"), **dict.fromkeys(HISTOGRAMS, "histogram"), **COLLECTED}
    assert {name: family.type for name, family in families(service.metrics).items()} == known


async def test_without_workers_all_collected_metrics_are_zero_for_each_pipeline():
    found = samples(make_service(pipelines=PIPELINES).metrics)
    for name, kind in COLLECTED.items():
        labels = [{}] if name in OF_PROCESS else [{"pipeline": "chat"}, {"pipeline": "topics"}]
        if name == "inference_limited_requests":
            labels = [{"limit": limit} for limit in LIMITS]
        series = {labels: value for (known, labels), value in found.items() if known in (name, f"{name}_total")}
        assert series == {tuple(each.items()): 0 for each in labels}, (name, kind)


async def test_metrics_of_workers_are_summed():
    service = make_service()
    hear(service, "a", totals=Totals(batches=2, jobs=8, tokens=60, padded_tokens=100), queue_depth=3)
    hear(service, "b", totals=Totals(batches=5, jobs=8, tokens=90, padded_tokens=100), queue_depth=4)
    service.dispatcher._on_status(status("c", state="starting"))
    found = service.metrics
    assert of_default(found, "inference_workers_ready") == 2
    assert of_default(found, "inference_queue_depth") == 7
    assert value(found, "inference_worker_hosts") == 3


async def test_workers_that_could_not_load_are_counted():
    service = make_service(pipelines=PIPELINES)
    workers = part("a", pipeline="chat", state="failed"), part("b", pipeline="topics", state="starting")
    service.dispatcher._on_status(status("h", *workers))
    service.dispatcher._on_status(status("i", part("c", pipeline="chat", state="failed")))
    failed = [value(service.metrics, "inference_workers_failed", pipeline=name) for name in PIPELINES]
    assert failed == [2, 0]


async def test_what_workers_did_is_counted_and_never_falls():
    service = make_service()
    hear(service, "a", totals=Totals(batches=2, jobs=8, tokens=60, padded_tokens=100))
    hear(service, "b", totals=Totals(batches=5, jobs=8, tokens=90, padded_tokens=100))
    hear(service, "a", totals=Totals(batches=3, jobs=9, tokens=70, padded_tokens=120))
    stopped = status("b", state="stopped", totals=Totals(batches=5, jobs=8, tokens=90, padded_tokens=100))
    service.dispatcher._on_status(stopped)
    names = ("batches", "jobs", "job_tokens", "computed_tokens")
    assert [of_default(service.metrics, f"inference_{name}_total") for name in names] == [8, 17, 160, 220]


async def test_what_workers_keep_of_prompts_is_told():
    service = make_service()
    hear(service, "a", totals=Totals(reused_tokens=32, evictions=1), prefix_bytes=100)
    hear(service, "b", totals=Totals(reused_tokens=64), prefix_bytes=50)
    hear(service, "a", totals=Totals(reused_tokens=96, evictions=2), prefix_bytes=70)
    names = ("tokens_total", "evictions_total", "bytes")
    assert [of_default(service.metrics, f"inference_prefix_cache_{name}") for name in names] == [160, 2, 120]


async def test_workers_of_another_version_are_counted():
    service = make_service()
    hear(service, "a")
    hear(service, "b", msgspec.structs.replace(DESCRIPTION, version="2"))
    assert of_default(service.metrics, "inference_workers_ready") == 1
    assert of_default(service.metrics, "inference_workers_version_mismatch") == 1
    assert "2" in service.different()
    assert "2" in service.different("default")


async def test_the_cost_model_of_a_worker_is_told_in_seconds():
    service = make_service(pipelines=PIPELINES)
    hear(service, pipeline="topics", cost=CostModel(50.0, 4.0, 0.5))
    found = samples(service.metrics)
    costs = {name: value for (name, labels), value in found.items() if labels == (("pipeline", "topics"),)}
    units = ("batch", "job", "token")
    assert [costs[f"inference_cost_model_{unit}_seconds"] for unit in units] == [0.05, 0.004, 0.0005]
    assert ("inference_cost_model_job_seconds", (("pipeline", "chat"),)) not in found, "it is not known"


async def test_the_queue_is_what_waits_here_and_at_workers():
    service = make_service()
    worker = hear(service, queue_depth=1)
    hold(service.dispatcher.registry, worker, 1, 2)
    service.dispatcher.pipelines["default"].add(make_call("a", 3))
    assert of_default(service.metrics, "inference_queue_depth") == 3 + 1
    assert value(service.metrics, "inference_dispatched_jobs") == 2


async def test_permits_that_are_taken_are_pending_inputs():
    service = make_service(pipelines=PIPELINES)
    with service.admission("topics").permits(3):
        pending = [value(service.metrics, "inference_pending_inputs", pipeline=name) for name in PIPELINES]
        assert (pending, service.pending_inputs) == ([0, 3], 3)
    assert value(service.metrics, "inference_pending_inputs", pipeline="topics") == 0


async def test_redispatched_jobs_and_dropped_log_entries_are_counted():
    service = make_service()
    service.dispatcher.pipelines["default"].redispatched = 4
    service._recorder._request_log.dropped = 5
    assert of_default(service.metrics, "inference_redispatched_jobs_total") == 4
    assert value(service.metrics, "inference_request_log_dropped_requests_total") == 5


async def test_an_answered_request_is_counted_once_however_many_inputs_it_has():
    service = make_service()
    hear(service)
    await ask(service, "a [MASK]", "b [MASK]")
    found = service.metrics
    assert of_default(found, "inference_requests_total", transport="python", status="ok", code="") == 1
    assert {of_default(found, f"{name}_count") for name in HISTOGRAMS if name != TIME_TO_FIRST_TOKEN} == {1}
    assert of_default(found, f"{TIME_TO_FIRST_TOKEN}_count") == 0
    assert of_default(found, "inference_queue_duration_seconds_sum") == pytest.approx(0.04)
    assert of_default(found, "inference_model_duration_seconds_sum") == pytest.approx(0.02)
    assert of_default(found, "inference_batch_size_sum") == 3


async def test_a_request_is_counted_for_its_pipeline():
    service = make_service(pipelines=PIPELINES)
    hear(service, pipeline="topics")
    await ask(service, "a [MASK]", pipeline="topics")
    counts = [value(service.metrics, "inference_batch_size_count", pipeline=name) for name in PIPELINES]
    assert counts == [0, 1]


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (Invalid("No."), "refused", "validation"),
        (InferenceFailed("It failed."), "failed", "inference"),
        (Overloaded("Later."), "refused", "overloaded"),
        (RuntimeError("a bug"), "failed", "internal"),
        (asyncio.CancelledError(), "cancelled", "cancelled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
async def test_a_request_that_fails_is_counted_with_what_the_client_was_told(raised: Any, status: str, code: str):
    service = make_service()
    hear(service)
    cast("Answering", service.dispatcher).raises = raised
    with pytest.raises(BaseException):  # noqa: B017, PT011 - each its own
        await ask(service, "a [MASK]")
    found = service.metrics
    assert of_default(found, "inference_requests_total", transport="python", status=status, code=code) == 1
    assert of_default(found, "inference_model_duration_seconds_count") == 0
