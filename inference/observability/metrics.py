"""The metrics of one web process in Prometheus' format (``GET /metrics``).

Names follow https://prometheus.io/docs/practices/naming/. Counters and histograms of requests are updated as requests
end; everything else, including what workers report in their statuses, is collected at each scrape.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "Metric", "Metrics", "counter", "gauge"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """A registry of its own with the metrics of requests, and those that ``collect`` returns at each scrape."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "inference_requests",
            "Requests by outcome; code is the error_type of the answer, empty if ok.",
            ("transport", "status", "code"),
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
            registry=self._registry,
        )
        self._slow_readers = Counter(
            "inference_slow_reader_disconnects",
            "Connections closed because the client did not read its answers.",
            ("transport",),
            registry=self._registry,
        )
        self._registry.register(_Collector(collect))

    def count(self, transport: str, status: str, code: str, total_ms: float) -> None:
        """Count a finished request."""
        self._requests.labels(transport, status, code).inc()
        self._total.observe(total_ms / 1000)

    def observe(self, queue_ms: float, inference_ms: float, batch_size: int) -> None:
        """Record the times and batch size of a request that the model answered."""
        self._queue.observe(queue_ms / 1000)
        self._inference.observe(inference_ms / 1000)
        self._batch_size.observe(batch_size)

    def observe_tokens(self, first_token_ms: float, tokens: int) -> None:
        """Record the generated text of a request, or the part of it that was generated before the request failed."""
        self._first_token.observe(first_token_ms / 1000)
        self._tokens.inc(tokens)

    def cut_off(self, transport: str) -> None:
        """Count a connection that was closed because its client did not read."""
        self._slow_readers.labels(transport).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"inference_{name}", help, buckets=buckets, registry=self._registry)


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
