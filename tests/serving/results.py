"""Results of requests, for what writes them."""

from collections.abc import Sequence
from typing import Any

from inference.messaging.messages import Result
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import Outcome, RequestResult, Served, Times
from tests.scheduling.test_host_registry import DESCRIPTION


def outcomes(*outputs: bytes) -> list[Outcome]:
    """With these outputs."""
    return [Outcome(Result(number, output, 0.0, 0.0, 1)) for number, output in enumerate(outputs)]


def make_result(
    query: Query,
    outputs: Sequence[bytes] = (b"[]",),
    *,
    generation: GenerationResult | None = None,
    **fields: Any,
) -> RequestResult:
    """What the service returns for ``query``. ``fields`` are those of ``RequestResult``."""
    known: dict[str, Any] = {
        "served": Served("default", "1"),
        "description": DESCRIPTION,
        "outcomes": outcomes(*outputs),
        "times": Times(total_ms=1.0),
        "generations": [] if generation is None else [generation],
    }
    return RequestResult(query=query, **(known | fields))
