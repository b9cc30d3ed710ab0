"""Client JSON in and out, one module per dialect. Nothing here knows how requests are served."""

from dataclasses import dataclass
from typing import Any, Self

from inference.serving.validation import is_chat


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a client asked, in any dialect. ``many``: it sent a list, and gets one.

    Inputs and parameters are JSON values as they came; ``inference.serving.validation`` checks them.
    """

    inputs: list[Any]
    many: bool
    parameters: Any = None
    stream: bool = False
    deadline_s: float | None = None

    @classmethod
    def of(cls, inputs: Any, **fields: Any) -> Self:
        """A list is a list of inputs, unless it is one chat."""
        many = isinstance(inputs, list) and not is_chat(inputs)
        return cls(inputs=inputs if many else [inputs], many=many, **fields)

    def asks(self, parameter: str) -> bool | None:
        """What it says of a parameter that is true or false, before anything is checked."""
        value = self.parameters.get(parameter) if isinstance(self.parameters, dict) else None
        return value if isinstance(value, bool) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long a request took, in milliseconds; for a list, queue and inference time are the maxima."""

    queue_ms: float = 0.0
    inference_ms: float = 0.0
    total_ms: float
    batch_size: int = 0
