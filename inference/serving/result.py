"""What the service returns for a request."""

from dataclasses import dataclass, field

from inference.errors import InferenceError
from inference.messaging.messages import Description, Result
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one input, or one of its choices; or why there is none, where a part of the answers is wanted."""

    result: Result | None
    error: InferenceError | None = None

    @property
    def output(self) -> Output:
        """Raises the error, if there is one."""
        if self.result is None:
            raise self.error or RuntimeError("an outcome without result and error")
        result = self.result
        if result.shape:
            return Array(result.shape, result.output)
        return Media(result.output, result.media_type) if result.media_type else result.output


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestResult:
    query: Query
    """As it was adapted to what is served."""
    served: Served
    description: Description
    """Of what is served."""
    outcomes: list[Outcome]
    """For each input, in order, as many as it has choices."""
    times: Times
    generations: list[GenerationResult] = field(default_factory=list)
    """Of a request that asked for tokens: one per outcome."""

    @property
    def outputs(self) -> list[Output]:
        """Of all outcomes. Raises the first error among them."""
        return [outcome.output for outcome in self.outcomes]

    @property
    def generation(self) -> GenerationResult | None:
        """The first one."""
        return self.generations[0] if self.generations else None
