"""Counters and histograms of one web process, as Prometheus reads them (``GET /metrics``).

Names follow https://prometheus.io/docs/practices/naming/. Figures of workers travel in their statuses, so that one
scrape of the web side shows all; they are read when Prometheus asks.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "Metric", "Metrics", "counter", "gauge"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """One registry, so that tests may have several."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "inference_requests",
            "Client calls by how they ended; code is the error_type, empty when ok",
            ("transport", "status", "code"),
            registry=self._registry,
        )
        self._total = self._histogram("request_seconds", "From the first byte to the answer", SECONDS)
        self._queue = self._histogram("queue_seconds", "Before the model, of answered requests", SECONDS)
        self._inference = self._histogram("model_seconds", "In the model, of answered requests", SECONDS)
        self._batch_size = self._histogram("batch_size", "Largest batch that an input of the request was in", SIZES)
        self._first_token = self._histogram("first_token_seconds", "From the first byte to the first token", SECONDS)
        self._tokens = Counter(
            "inference_tokens", "Generated tokens that clients were told of", registry=self._registry
        )
        self._cut_off = Counter(
            "inference_slow_readers",
            "Connections that were cut off because their client does not read",
            ("transport",),
            registry=self._registry,
        )
        self._registry.register(_Reader(read))

    def count(self, transport: str, status: str, code: str, total_ms: float) -> None:
        """A request has ended."""
        self._requests.labels(transport, status, code).inc()
        self._total.observe(total_ms / 1000)

    def observe(self, queue_ms: float, inference_ms: float, batch_size: int) -> None:
        """A request was answered by the model."""
        self._queue.observe(queue_ms / 1000)
        self._inference.observe(inference_ms / 1000)
        self._batch_size.observe(batch_size)

    def observe_tokens(self, first_token_ms: float, tokens: int) -> None:
        """A request got a generated text token by token, or the beginning of one."""
        self._first_token.observe(first_token_ms / 1000)
        self._tokens.inc(tokens)

    def cut_off(self, transport: str) -> None:
        """A client did not read what it was sent."""
        self._cut_off.labels(transport).inc()

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"inference_{name}", meaning, buckets=buckets, registry=self._registry)


class _Reader(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()


def gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"inference_{name}", meaning, value=value)


def counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"inference_{name}", meaning, value=value)
