"""What each task takes: inputs and parameters, with types and bounds.

The web side validates with this table and the worker's description, so that nothing unchecked reaches the
tokenizer or ``generate`` (where ``padding`` is a memory bomb and ``custom_generate`` runs foreign code).
Parameter names and meanings are those of the transformers pipelines:
https://huggingface.co/docs/transformers/main_classes/pipelines
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Kind(Protocol):
    """The values that a parameter may have."""

    def accepts(self, value: Any) -> bool: ...

    def __str__(self) -> str:
        """What is right, in words."""
        ...


@dataclass(frozen=True)
class Whole:
    low: int
    high: int

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Number:
    low: float
    high: float

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Flag:
    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Off:
    """For what clients send by default and is not to be had here."""

    def accepts(self, value: Any) -> bool:
        return value is False

    def __str__(self) -> str:
        return "false"


@dataclass(frozen=True)
class Choice:
    values: tuple[str, ...]

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.values

    def __str__(self) -> str:
        return "one of " + ", ".join(self.values)


@dataclass(frozen=True)
class Template:
    """For ``str.format``: other fields than ``{}`` could name attributes, or a width that fills the memory."""

    longest: int

    def accepts(self, value: Any) -> bool:
        return _a_text(value, self.longest) and "{}" in value and value.count("{") == value.count("}") == 1

    def __str__(self) -> str:
        return f"a text of at most {self.longest} characters with one {{}} and no other braces"


@dataclass(frozen=True)
class Texts:
    most: int
    longest: int

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, list) or not 0 < len(value) <= self.most:
            return False
        return all(_a_text(item, self.longest) for item in value)

    def __str__(self) -> str:
        return f"a list of 1 to {self.most} texts of at most {self.longest} characters"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    kind: Kind
    meaning: str
    required: bool = False
    travels: bool = True
    """To the worker; otherwise it only says how the web side is to answer."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A pipeline task.

    ``forward`` names the parameters that change the forward pass: jobs that differ in them cannot share a batch.
    ``example`` is an input that every model of the task can answer; ``{mask}`` stands for its mask token.
    """

    name: str
    example: str
    parameters: Mapping[str, Parameter]
    forward: frozenset[str] = frozenset()
    samples: bool = False
    """Draws random numbers; the web side sends a seed, so that a job stays a pure function of its input."""
    example_parameters: Mapping[str, Any] | None = None

    @property
    def needs_parameters(self) -> bool:
        return any(parameter.required for parameter in self.parameters.values())

    def batch_key(self, parameters: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """Jobs with equal keys may share a batch."""
        return tuple(sorted((name, repr(value)) for name, value in parameters.items() if name in self.forward))


_TOP_K = Parameter(kind=Whole(1, 1000), meaning="how many answers, best first")
_FUNCTION = Parameter(kind=Choice(("sigmoid", "softmax", "none")), meaning="how scores are made of logits")
_GENERATION = {
    "max_new_tokens": Parameter(kind=Whole(1, 4096), meaning="longest continuation, in tokens"),
    "do_sample": Parameter(kind=Flag(), meaning="draw tokens instead of taking the likeliest"),
    "temperature": Parameter(kind=Number(0.01, 100), meaning="above 1: more random"),
    "top_k": Parameter(kind=Whole(1, 1000), meaning="draw from the k likeliest tokens"),
    "top_p": Parameter(kind=Number(0.001, 1), meaning="draw from the likeliest tokens that make up p"),
    "repetition_penalty": Parameter(kind=Number(0.01, 100), meaning="above 1: repeats less"),
    "seed": Parameter(kind=Whole(0, 2**31 - 1), meaning="makes sampling repeatable"),
    "stop": Parameter(kind=Texts(16, 100), meaning="the text ends after one of these"),
}

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="fill-mask",
            example="Paris is the {mask} of France.",
            parameters={
                "top_k": _TOP_K,
                "targets": Parameter(kind=Texts(100, 100), meaning="only score these words"),
            },
            example_parameters={"top_k": 3},
        ),
        Task(
            name="text-classification",
            example="I like this very much.",
            parameters={"top_k": _TOP_K, "function_to_apply": _FUNCTION},
        ),
        Task(
            name="token-classification",
            example="My name is Clara and I live in Berkeley.",
            parameters={
                "aggregation_strategy": Parameter(
                    kind=Choice(("none", "simple", "first", "average", "max")), meaning="join tokens to entities"
                ),
                "ignore_labels": Parameter(kind=Texts(100, 100), meaning="labels to leave out"),
            },
        ),
        Task(
            name="feature-extraction",
            example="A text to embed.",
            parameters={
                "pooling": Parameter(
                    kind=Choice(("none", "mean", "cls")), meaning="one vector per input instead of one per token"
                ),
                "normalize": Parameter(kind=Flag(), meaning="scale vectors to length 1"),
            },
            example_parameters={"pooling": "mean", "normalize": True},
        ),
        Task(
            name="zero-shot-classification",
            example="I have a problem with my phone.",
            parameters={
                "candidate_labels": Parameter(kind=Texts(64, 200), meaning="the labels to choose from", required=True),
                "multi_label": Parameter(kind=Flag(), meaning="score each label for itself"),
                "hypothesis_template": Parameter(kind=Template(500), meaning="the sentence around a label"),
            },
            example_parameters={"candidate_labels": ["urgent", "not urgent"]},
        ),
        Task(
            name="text-generation",
            example="Once upon a time",
            parameters=_GENERATION
            | {
                "return_full_text": Parameter(kind=Flag(), meaning="put the prompt before the continuation"),
                "details": Parameter(kind=Flag(), meaning="in HTTP: how the text came about", travels=False),
                "decoder_input_details": Parameter(kind=Off(), meaning="for clients that send it", travels=False),
            },
            forward=frozenset(_GENERATION),
            samples=True,
        ),
    )
}

ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}


def _a_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and encodable(value)


def encodable(text: str) -> bool:
    """UTF-8 can say it; Python's own ``json`` also reads what cannot be sent to a worker."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
