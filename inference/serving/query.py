"""What a client asked, in any dialect."""

from dataclasses import dataclass
from typing import Any, Self

from inference.tasks.inputs import is_chat


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Inputs and parameters are JSON values as they came; ``inference.serving.validation`` checks them."""

    inputs: list[Any]
    many: bool
    """The client sent a list, and gets one."""
    pipeline: str | None = None
    """Name or alias of the pipeline that the body or frame asks for; ``None``: that of the path, or the default one."""
    parameters: Any = None
    stream: bool = False
    """Each token is sent as it is generated."""
    tokens_for: str | None = None
    """The client's field that asks for single tokens, if one does, for errors; of a stream, ``stream`` by default."""
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        if self.stream and self.tokens_for is None:
            object.__setattr__(self, "tokens_for", "stream")

    @classmethod
    def of(cls, inputs: Any, **fields: Any) -> Self:
        """A list is a list of inputs, unless it is one chat."""
        many = isinstance(inputs, list) and not is_chat(inputs)
        return cls(inputs=inputs if many else [inputs], many=many, **fields)

    def flag(self, parameter: str) -> bool | None:
        """The value of a boolean parameter, before anything is checked; ``None`` if it has none."""
        value = self.parameters.get(parameter) if isinstance(self.parameters, dict) else None
        return value if isinstance(value, bool) else None
