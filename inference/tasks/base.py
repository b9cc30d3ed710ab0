"""The description of a pipeline task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from inference.tasks.inputs import InputForm
from inference.tasks.parameters import Parameter

Output = Literal[
    "labels",
    "spans",
    "fills",
    "vectors",
    "scores",
    "ranking",
    "text",
    "answers",
    "cells",
    "boxes",
    "masks",
    "depth",
    "media",
    "transcript",
    "decisions",
]
"""What an answer consists of."""

REFUSED = "do_not_truncate"
"""The value of ``truncation`` with which what is too long is refused."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A pipeline task: what it takes and what it gives.

    The web side validates with it, so that nothing unchecked reaches the tokenizer or ``generate`` (where ``padding``
    is a memory bomb and ``custom_generate`` runs foreign code). Parameter names and meanings are those of the
    transformers pipelines: https://huggingface.co/docs/transformers/main_classes/pipelines
    """

    name: str
    summary: str = ""
    """What it gives, in a sentence for people who do not know its name."""
    aliases: tuple[str, ...] = ()
    input: InputForm
    output: Output
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    forward: frozenset[str] = frozenset()
    """Parameters that change the forward pass: jobs that differ in them cannot share a batch."""
    samples: bool = False
    """Draws random numbers; the web side sends a seed, so that a job stays a pure function of its input."""
    example: Any
    """An input that every model of the task can answer; ``{mask}`` stands for its mask token."""
    example_parameters: Mapping[str, Any] = field(default_factory=dict)
    more_parameters: str | None = None
    """The name of an object with parameters, which some clients send: they count as if they were beside it."""
    text_field: str = "generated_text"
    """Of answers that are texts: the field that has it."""
    transformers_module: str = ""
    """The module that tells the transformers backend how to run it; by default the one that is named like the task."""

    @property
    def continues(self) -> bool:
        """Its texts continue their inputs, and come after them in the answer unless the request says otherwise."""
        return "return_full_text" in self.parameters

    @property
    def needs_parameters(self) -> bool:
        return any(parameter.required for parameter in self.parameters.values())

    def cuts(self, parameters: Mapping[str, Any]) -> bool:
        """Whether these parameters say that an input that is too long for the model is to be cut, and not refused."""
        return any(
            name in self.parameters and self.parameters[name].takes_long and value is not False and value != REFUSED
            for name, value in parameters.items()
        )

    def batch_key(self, parameters: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """Jobs with equal keys may share a batch."""
        return tuple(sorted((name, repr(value)) for name, value in parameters.items() if name in self.forward))

    def example_for(self, mask_token: str) -> Any:
        """The example as a model with this mask token takes it."""
        return self.input.changed(self.example, lambda text: text.replace("{mask}", mask_token))
