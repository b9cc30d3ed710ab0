"""Tokenised inputs on their way into the model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from inference.errors import Invalid
from inference.messages import Job

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
class Prepared:
    """A job, tokenised. Most tasks make one row of an input, zero-shot classification one per label."""

    job: Job
    rows: list[Row]
    postprocess: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0
    longest: int = 0

    def __post_init__(self) -> None:
        self.tokens = sum(row.length for row in self.rows)
        self.longest = max(row.length for row in self.rows)

    @property
    def sequences(self) -> int:
        return len(self.rows)


def check_length(tokens: int, limit: int) -> None:
    """Raises ``Invalid`` with limit and actual. A longer input would fail inside the forward with its batch mates."""
    if tokens > limit:
        raise Invalid(f"The input has {tokens} tokens; this model takes at most {limit}.")


def collate(rows: Sequence[Row], tokenizer: Any, device: Any) -> dict[str, torch.Tensor]:
    """Rows as tensors ``[rows, longest]``, padded on the tokenizer's side to the longest row and no further."""
    longest = max(row.length for row in rows)
    left = tokenizer.padding_side == "left"
    return {
        name: torch.tensor(
            [
                _padded(row.inputs[name], longest, PADDING.get(name, tokenizer.pad_token_id or 0), left=left)
                for row in rows
            ],
            device=device,
        )
        for name in rows[0].inputs
    }


def strip(tensor: torch.Tensor, index: int, length: int, *, left: bool) -> torch.Tensor:
    """Row ``index`` of a padded output ``[rows, longest, ...]`` as ``[1, length, ...]``."""
    row = tensor[index : index + 1]
    return row[:, -length:] if left else row[:, :length]


def groups(prepared: Sequence[Prepared], max_tokens: int) -> list[list[Prepared]]:
    """Split by length so that no forward pass has more than ``max_tokens`` padded tokens, unless one input has."""
    made: list[list[Prepared]] = []
    sequences = 0
    for item in sorted(prepared, key=lambda item: item.longest):
        sequences += item.sequences
        if not made or sequences * item.longest > max_tokens:
            made.append([])
            sequences = item.sequences
        made[-1].append(item)
    return made


def by_text(jobs: Sequence[Job], tokenize: Callable[[list[str]], Mapping[str, Sequence[Sequence[int]]]]) -> list[Row]:
    """One row per job, tokenised in one call."""
    encoded = tokenize([job.input for job in jobs])
    return [Row({name: values[index] for name, values in encoded.items()}) for index in range(len(jobs))]


def _padded(values: Sequence[int], length: int, filler: int, *, left: bool) -> list[int]:
    padding = [filler] * (length - len(values))
    return [*padding, *values] if left else [*values, *padding]
