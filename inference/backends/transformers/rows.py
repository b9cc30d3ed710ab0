"""Tokenised inputs on their way into the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from inference.backends.sizes import computed_tokens
from inference.errors import Invalid
from inference.messaging.messages import Job

PADDING = {"attention_mask": 0, "token_type_ids": 0}


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence for the model: token ids and their like by the model's input name, without padding.

    ``extras`` is what the pipeline's own post-processing wants back beside the output.
    """

    inputs: Mapping[str, Sequence[int]]
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return len(self.inputs["input_ids"])


@dataclass(eq=False, slots=True)
class TokenizedJob:
    """Most tasks make one row of an input, zero-shot classification one per label."""

    job: Job
    rows: list[Row]
    postprocess: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0
    longest: int = 0
    input_tokens: int = 0
    truncated: bool = False

    def __post_init__(self) -> None:
        self.tokens = self.input_tokens = sum(row.length for row in self.rows)
        self.longest = max(row.length for row in self.rows)

    @property
    def sequences(self) -> int:
        return len(self.rows)


def check_length(tokens: int, limit: int, what: str = "The input") -> None:
    """Raises ``Invalid`` with limit and actual. A longer input would fail in the forward pass with its whole batch."""
    if tokens > limit:
        raise Invalid(f"{what} has {tokens} tokens; this model takes at most {limit}.")


def check_room(prompt_tokens: int, wanted: int | None, limit: int) -> int:
    """How many tokens a model may generate after a prompt.

    Raises:
        Invalid: fewer than ``wanted``, or none.
    """
    if (room := limit - prompt_tokens) < (wanted or 1):
        raise Invalid(
            f"The input has {prompt_tokens} tokens and max_new_tokens is {wanted or 'at least 1'}; "
            f"together they may be {limit}, so shorten one of them."
        )
    return room


def check_least(parameters: Mapping[str, Any], most: int) -> None:
    """Raises ``Invalid`` where a text must have more tokens than it may get."""
    if (least := parameters.get("min_new_tokens", 0)) > most:
        raise Invalid(f"Parameter min_new_tokens is {least}; this text may get {most} tokens, so raise max_new_tokens.")


class Layout(Protocol):
    """How the sequences of a batch lie in the model's tensors."""

    pads: bool

    def arguments(self, rows: Sequence[Row]) -> dict[str, Any]:
        """What the model is called with."""
        ...

    def per_row(self, value: torch.Tensor, rows: Sequence[Row]) -> list[torch.Tensor]:
        """An output that has an entry for each token, as one ``[1, length, ...]`` for each row."""
        ...

    def close(self) -> None:
        """Leave the model as it was."""
        ...


class Padded:
    """The layout ``[rows, longest]``: padded on the tokenizer's side to the longest row and no further."""

    pads = True

    def __init__(self, tokenizer: Any, device: Any) -> None:
        self._filler = tokenizer.pad_token_id or 0
        self._left = tokenizer.padding_side == "left"
        self._device = device

    def arguments(self, rows: Sequence[Row]) -> dict[str, Any]:
        longest = max(row.length for row in rows)
        return {
            name: torch.tensor(
                [self._padded(row.inputs[name], longest, PADDING.get(name, self._filler)) for row in rows],
                device=self._device,
            )
            for name in rows[0].inputs
        }

    def per_row(self, value: torch.Tensor, rows: Sequence[Row]) -> list[torch.Tensor]:
        padded = [value[index : index + 1] for index in range(len(rows))]
        return [
            tensor[:, -row.length :] if self._left else tensor[:, : row.length]
            for tensor, row in zip(padded, rows, strict=True)
        ]

    def close(self) -> None:
        pass

    def _padded(self, values: Sequence[int], length: int, filler: int) -> list[int]:
        padding = [filler] * (length - len(values))
        return [*padding, *values] if self._left else [*values, *padding]


def groups(jobs: Sequence[TokenizedJob], max_tokens: int, *, pads: bool) -> list[list[TokenizedJob]]:
    """Split by length so that no forward pass computes more than ``max_tokens``, unless one input does."""
    made: list[list[TokenizedJob]] = []
    for item in sorted(jobs, key=lambda item: item.longest):
        if not made or computed_tokens([*made[-1], item], pads=pads) > max_tokens:
            made.append([])
        made[-1].append(item)
    return made


def parts(rows: Sequence[Row], max_tokens: int, *, pads: bool) -> list[list[Row]]:
    """Split in order so that no part has more than ``max_tokens``, unless one row does."""
    made: list[list[Row]] = [[]]
    for row in rows:
        lengths = [*(other.length for other in made[-1]), row.length]
        if made[-1] and (len(lengths) * max(lengths) if pads else sum(lengths)) > max_tokens:
            made.append([])
        made[-1].append(row)
    return made
