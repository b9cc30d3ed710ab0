"""The metrics of one web process in Prometheus' format (``GET /metrics``).

Names follow https://prometheus.io/docs/practices/naming/. Counters and histograms of requests are updated as requests
end; everything else, including what workers report in their statuses, is collected at each scrape.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "Metric", "Metrics", "counter", "counters", "gauge", "gauges"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
PIPELINE = "pipeline"
"""The label with a pipeline's name."""


class Metrics:
    """A registry of its own with the metrics of requests, and those that ``collect`` returns at each scrape.

    Args:
        pipelines: names of those whose metrics are there, as zeros, before their first request.
    """

    def __init__(self, collect: Callable[[], Iterable[Metric]], pipelines: Iterable[str] = ()) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "inference_requests",
            "Requests by outcome; code is the error_type of the answer, empty if ok.",
            (PIPELINE, "transport", "status", "code"),
            registry=self._registry,
        )
        self._total = self._histogram(
            "request_duration_seconds", "Time from the first byte of a request to its answer.", SECONDS_BUCKETS
        )
        self._queue = self._histogram(
            "queue_duration_seconds", "Time that an answered request waited for the model.", SECONDS_BUCKETS
        )
        self._inference = self._histogram(
            "model_duration_seconds", "Time that an answered request spent in the model.", SECONDS_BUCKETS
        )
        self._batch_size = self._histogram(
            "batch_size", "Size of the largest batch with an input of the request.", SIZE_BUCKETS
        )
        self._first_token = self._histogram(
            "time_to_first_token_seconds",
            "Time from the first byte of a request to its first generated token.",
            SECONDS_BUCKETS,
        )
        self._tokens = Counter(
            "inference_generated_tokens",
            "Tokens generated for requests that stream or ask for details.",
            (PIPELINE,),
            registry=self._registry,
        )
        self._slow_readers = Counter(
            "inference_slow_reader_disconnects",
            "Connections closed because the client did not read its answers.",
            ("transport",),
            registry=self._registry,
        )
        self._labelled = cache(_labelled)
        self._registry.register(_Collector(collect))
        by_pipeline = self._total, self._queue, self._inference, self._batch_size, self._first_token, self._tokens
        for pipeline in pipelines:
            for metric in by_pipeline:
                metric.labels(pipeline)

    def count(self, pipeline: str, transport: str, status: str, code: str, total_ms: float) -> None:
        """Count a finished request; ``pipeline`` is empty if it named none that there is."""
        self._labelled(self._requests, pipeline, transport, status, code).inc()
        self._labelled(self._total, pipeline).observe(total_ms / 1000)

    def observe(self, pipeline: str, queue_ms: float, inference_ms: float, batch_size: int) -> None:
        """Record the times and batch size of a request that the model answered."""
        self._labelled(self._queue, pipeline).observe(queue_ms / 1000)
        self._labelled(self._inference, pipeline).observe(inference_ms / 1000)
        self._labelled(self._batch_size, pipeline).observe(batch_size)

    def observe_tokens(self, pipeline: str, first_token_ms: float, tokens: int) -> None:
        """Record the generated text of a request, or the part of it that was generated before the request failed."""
        self._labelled(self._first_token, pipeline).observe(first_token_ms / 1000)
        self._labelled(self._tokens, pipeline).inc(tokens)

    def outcomes(self) -> dict[tuple[str, str], float]:
        """Requests that have ended so far, by pipeline and status."""
        counted: dict[tuple[str, str], float] = {}
        for family in self._requests.collect():
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    key = sample.labels[PIPELINE], sample.labels["status"]
                    counted[key] = counted.get(key, 0) + sample.value
        return counted

    def cut_off(self, transport: str) -> None:
        """Count a connection that was closed because its client did not read."""
        self._slow_readers.labels(transport).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"inference_{name}", help, (PIPELINE,), buckets=buckets, registry=self._registry)


def _labelled(metric: Any, *labels: str) -> Any:
    """``labels`` takes a lock and some microseconds, so each ``Metrics`` remembers what it returned."""
    return metric.labels(*labels)


class _Collector(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def gauge(name: str, help: str, value: float) -> Metric:
    """A gauge read at a scrape; ``name`` is without the prefix ``inference_``."""
    return GaugeMetricFamily(f"inference_{name}", help, value=value)


def counter(name: str, help: str, value: float) -> Metric:
    """A counter read at a scrape; ``name`` is without ``inference_`` and ``_total``."""
    return CounterMetricFamily(f"inference_{name}", help, value=value)


def gauges(name: str, help: str, by_pipeline: Mapping[str, float]) -> Metric:
    """As ``gauge``, with a value for each pipeline."""
    return _filled(GaugeMetricFamily(f"inference_{name}", help, labels=(PIPELINE,)), by_pipeline)


def counters(name: str, help: str, values: Mapping[str, float], label: str = PIPELINE) -> Metric:
    """As ``counter``, with a value for each pipeline, or whatever ``label`` is."""
    return _filled(CounterMetricFamily(f"inference_{name}", help, labels=(label,)), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, by_pipeline: Mapping[str, float]) -> Metric:
    for pipeline, value in by_pipeline.items():
        family.add_metric([pipeline], value)
    return family
