"""Client JSON in and out, one module per dialect. Nothing here knows how requests are served."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a client asked, in any dialect. ``many``: it sent a list, and gets one.

    Inputs and parameters are JSON values as they came; ``inference.tasks`` checks them.
    """

    inputs: list[Any]
    many: bool
    parameters: Any = None
    stream: bool = False
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long a request took, in milliseconds; for a list, queue and inference time are the maxima."""

    queue_ms: float = 0.0
    inference_ms: float = 0.0
    total_ms: float
    batch_size: int = 0
