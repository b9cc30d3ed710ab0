"""What the service returns for a request."""

from dataclasses import dataclass

from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.tasks.arrays import Array
from inference.tasks.media import Media

Output = bytes | Media | Array
"""JSON, or media, or vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Milliseconds; for a list of inputs, queue and inference time are the maxima."""

    queue_ms: float = 0.0
    inference_ms: float = 0.0
    total_ms: float
    batch_size: int = 0


@dataclass(frozen=True, slots=True)
class Served:
    """What answers a request."""

    pipeline: str
    """Its name in the catalog."""
    version: str
    """Of its model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestResult:
    query: Query
    served: Served
    outputs: list[Output]
    """One per input, in order."""
    times: Times
    generation: GenerationResult | None = None
    """Of a request that asked for tokens."""
