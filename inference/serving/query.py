"""What a client asked, in any dialect."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from inference.errors import Invalid
from inference.messaging.messages import Description
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
    choices: int = 1
    """Answers to each input; those of a generating task differ in their seeds."""
    partial: bool = False
    """An input of a list that fails does not fail the others: its error takes the place of its answer."""
    arrays: bool = False
    """Vectors are wanted as ``Array``, not as JSON."""
    deadline_s: float | None = None
    state: Any = None
    """The dialect's own, for its reply."""
    adapt: Callable[["Query", Description], "Query"] | None = None
    """What the dialect has to change once it is known what is served. It keeps the number of inputs. May raise
    ``Invalid``."""

    def __post_init__(self) -> None:
        if self.stream and self.tokens_for is None:
            object.__setattr__(self, "tokens_for", "stream")

    @classmethod
    def of(cls, inputs: Any, **fields: Any) -> Self:
        """A list is a list of inputs, unless it is one chat. Raises ``Invalid`` for a list whose tokens are wanted."""
        many = isinstance(inputs, list) and not is_chat(inputs)
        query = cls(inputs=inputs if many else [inputs], many=many, **fields)
        if many and (field := query.tokens_for):
            raise Invalid(f"{field!r} is for one input, and 'inputs' is a list; send a text, or leave {field!r} out.")
        return query

    def adapted(self, description: Description) -> "Query":
        """The query for what is served. Raises ``Invalid``."""
        return self if self.adapt is None else self.adapt(self, description)

    def changed(self, **fields: Any) -> "Query":
        """With other values of these fields."""
        return replace(self, **fields)

    def flag(self, parameter: str) -> bool | None:
        """The value of a boolean parameter, before anything is checked; ``None`` if it has none."""
        value = self.parameters.get(parameter) if isinstance(self.parameters, dict) else None
        return value if isinstance(value, bool) else None
