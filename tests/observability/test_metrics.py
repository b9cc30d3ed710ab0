import asyncio
from collections.abc import Iterable
from typing import Any, cast

import msgspec
import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from inference.conf import Conf
from inference.errors import InferenceFailed, Invalid, Overloaded
from inference.messaging.messages import Result, Status, Totals
from inference.observability import metrics
from inference.observability.metrics import Metrics, counter, gauge
from inference.request_log.writer import RequestLog
from inference.scheduling.calls import NO_EVENTS, Answer, Events, Work
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.worker_registry import Record, WorkerRegistry, WorkerView
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.service import Service
from tests.messaging.recording_layer import RecordingLayer
from tests.scheduling.test_fair_queue import make_call
from tests.scheduling.test_worker_registry import DESCRIPTION, status

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
    "inference_queue_depth": "gauge",
    "inference_dispatched_jobs": "gauge",
    "inference_predicted_wait_seconds": "gauge",
    "inference_workers_ready": "gauge",
    "inference_workers_version_mismatch": "gauge",
    "inference_batches": "counter",
    "inference_jobs": "counter",
    "inference_job_tokens": "counter",
    "inference_computed_tokens": "counter",
    "inference_redispatched_jobs": "counter",
    "inference_request_log_pending_rows": "gauge",
    "inference_request_log_dropped_requests": "counter",
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


# Metrics


def test_all_metrics_of_requests_exist_from_the_start():
    kinds = {name: family.type for name, family in families(Metrics(nothing)).items()}
    assert kinds == dict.fromkeys(COUNTERS, "counter") | dict.fromkeys(HISTOGRAMS, "histogram")


def test_every_metric_has_a_help_text():
    assert all(family.documentation for family in families(Metrics(lambda: [gauge("a", "A help text.", 1)])).values())


def test_requests_are_counted_by_transport_status_and_code():
    m = Metrics(nothing)
    for code in ("", "", "validation"):
        m.count("http", "failed" if code else "ok", code, 1.0)
    m.count("websocket", "ok", "", 1.0)
    counted = {
        tuple(sample.labels[name] for name in ("transport", "status", "code")): sample.value
        for sample in families(m)["inference_requests"].samples
        if sample.name == "inference_requests_total"
    }
    assert counted == {("http", "ok", ""): 2, ("http", "failed", "validation"): 1, ("websocket", "ok", ""): 1}


@pytest.mark.parametrize(("name", "buckets"), HISTOGRAMS.items())
def test_the_buckets_of_a_histogram(name: str, buckets: tuple[float, ...]):
    edges = [
        float(sample.labels["le"])
        for sample in families(Metrics(nothing))[name].samples
        if sample.name == f"{name}_bucket"
    ]
    assert edges == [*buckets, float("inf")]


def test_times_are_in_seconds():
    m = Metrics(nothing)
    m.count("http", "ok", "", 1500.0)
    m.observe(20.0, 300.0, 4)
    m.observe_tokens(250.0, 7)
    sums = {name: value(m, f"{name}_sum") for name in HISTOGRAMS}
    assert sums == {
        "inference_request_duration_seconds": 1.5,
        "inference_queue_duration_seconds": 0.02,
        "inference_model_duration_seconds": 0.3,
        "inference_batch_size": 4,
        "inference_time_to_first_token_seconds": 0.25,
    }
    assert value(m, "inference_generated_tokens_total") == 7
    assert {value(m, f"{name}_count") for name in HISTOGRAMS} == {1}


def test_buckets_are_cumulative():
    m = Metrics(nothing)
    m.observe(0.0, 60.0, 1)
    assert [value(m, "inference_model_duration_seconds_bucket", le=edge) for edge in ("0.05", "0.1", "60.0")] == [
        0,
        1,
        1,
    ]


def test_a_request_without_an_answer_counts_in_no_other_histogram():
    m = Metrics(nothing)
    m.count("http", "refused", "overloaded", 1.0)
    assert {name: value(m, f"{name}_count") for name in HISTOGRAMS} == {
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


def test_registries_are_independent():
    one, other = Metrics(nothing), Metrics(nothing)
    one.count("http", "ok", "", 1.0)
    assert value(other, "inference_request_duration_seconds_count") == 0


def test_label_values_are_escaped():
    m = Metrics(nothing)
    m.count("http", "failed", 'a "code"\n\\', 1.0)
    assert value(m, "inference_requests_total", transport="http", status="failed", code='a "code"\n\\') == 1


# The metrics of a service


class Answering(Dispatcher):
    """Answers every input at once, or raises."""

    raises: Exception | None = None

    async def run(self, work: Work, events: Events = NO_EVENTS) -> list[Answer]:
        if self.raises:
            raise self.raises
        return [Answer(Result(0, b"{}", 10.0, 20.0, 3), "w", waited_ms=30.0, times_sent=1) for _ in work.inputs]

    async def description(self, deadline_at: float) -> Any:
        return DESCRIPTION


def make_service() -> Service:
    return Service(Conf(), Answering(RecordingLayer()), RequestLog())


def meet(registry: WorkerRegistry, worker: str = "w", **fields: Any) -> WorkerView:
    message: Status = status(worker, **fields)
    view = registry.get_or_add(message)
    view.update(message)
    return view


async def ask(service: Service, *texts: str) -> None:
    query = Query(inputs=list(texts), many=len(texts) > 1, parameters=None, deadline_s=None)
    await service.answer(RequestContext(transport="python"), lambda: query)


async def test_a_service_has_these_metrics_and_no_others():
    service = make_service()
    known = {**dict.fromkeys(COUNTERS, "counter"), **dict.fromkeys(HISTOGRAMS, "histogram"), **COLLECTED}
    assert {name: family.type for name, family in families(service.metrics).items()} == known


async def test_without_workers_all_collected_metrics_are_zero():
    found = make_service().metrics
    names = [name if kind == "gauge" else f"{name}_total" for name, kind in COLLECTED.items()]
    assert {name: value(found, name) for name in names} == dict.fromkeys(names, 0)


async def test_metrics_of_workers_are_summed():
    service = make_service()
    registry = service.dispatcher.registry
    meet(registry, "a", totals=Totals(batches=2, jobs=8, tokens=60, padded_tokens=100), queue_depth=3)
    meet(registry, "b", totals=Totals(batches=5, jobs=8, tokens=90, padded_tokens=100), queue_depth=4)
    meet(registry, "c", state="starting", description=None)
    registry.update_version(0.0)
    found = service.metrics
    assert value(found, "inference_workers_ready") == 2
    assert value(found, "inference_queue_depth") == 7


async def test_what_workers_did_is_counted_and_never_falls():
    service = make_service()
    dispatcher = service.dispatcher
    dispatcher._on_status(status("a", totals=Totals(batches=2, jobs=8, tokens=60, padded_tokens=100)))
    dispatcher._on_status(status("b", totals=Totals(batches=5, jobs=8, tokens=90, padded_tokens=100)))
    dispatcher._on_status(status("a", totals=Totals(batches=3, jobs=9, tokens=70, padded_tokens=120)))
    dispatcher._on_status(status("b", state="stopped", totals=Totals(batches=5, jobs=8, tokens=90, padded_tokens=100)))
    names = ("batches", "jobs", "job_tokens", "computed_tokens")
    assert [value(service.metrics, f"inference_{name}_total") for name in names] == [8, 17, 160, 220]


async def test_workers_of_another_version_are_counted():
    service = make_service()
    meet(service.dispatcher.registry, "a")
    meet(service.dispatcher.registry, "b", description=msgspec.structs.replace(DESCRIPTION, version="2"))
    service.dispatcher.registry.update_version(0.0)
    assert value(service.metrics, "inference_workers_ready") == 1
    assert value(service.metrics, "inference_workers_version_mismatch") == 1
    assert "2" in service.different()


async def test_the_queue_is_what_waits_here_and_at_workers():
    service = make_service()
    worker = meet(service.dispatcher.registry, queue_depth=1)
    worker.records = {1: Record(), 2: Record()}
    service.dispatcher._assigner._waiting[""].add(make_call("a", 3))
    assert value(service.metrics, "inference_queue_depth") == 3 + 1
    assert value(service.metrics, "inference_dispatched_jobs") == 2


async def test_permits_that_are_taken_are_pending_inputs():
    service = make_service()
    with service.admission.permits(3):
        assert value(service.metrics, "inference_pending_inputs") == 3
    assert value(service.metrics, "inference_pending_inputs") == 0


async def test_redispatched_jobs_and_dropped_log_entries_are_counted():
    service = make_service()
    service.dispatcher._assigner.redispatched = 4
    service._recorder._request_log.dropped = 5
    assert value(service.metrics, "inference_redispatched_jobs_total") == 4
    assert value(service.metrics, "inference_request_log_dropped_requests_total") == 5


async def test_an_answered_request_is_counted_once_however_many_inputs_it_has():
    service = make_service()
    await ask(service, "a [MASK]", "b [MASK]")
    found = service.metrics
    assert value(found, "inference_requests_total", transport="python", status="ok", code="") == 1
    assert {value(found, f"{name}_count") for name in HISTOGRAMS if name != TIME_TO_FIRST_TOKEN} == {1}
    assert value(found, f"{TIME_TO_FIRST_TOKEN}_count") == 0
    assert value(found, "inference_queue_duration_seconds_sum") == pytest.approx(0.04)
    assert value(found, "inference_model_duration_seconds_sum") == pytest.approx(0.02)
    assert value(found, "inference_batch_size_sum") == 3


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
    cast("Answering", service.dispatcher).raises = raised
    with pytest.raises(BaseException):  # noqa: B017, PT011 - each its own
        await ask(service, "a [MASK]")
    found = service.metrics
    assert value(found, "inference_requests_total", transport="python", status=status, code=code) == 1
    assert value(found, "inference_model_duration_seconds_count") == 0
