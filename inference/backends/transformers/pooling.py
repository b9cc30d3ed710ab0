"""From the vectors of a text's tokens to one vector."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Pooling = Callable[[torch.Tensor, int], torch.Tensor]
"""Makes ``[1, size]`` of ``[1, tokens, size]``, without so many tokens at the beginning."""


def _weighted_mean(vectors: torch.Tensor, skipped: int) -> torch.Tensor:
    """Later tokens count more, by their place in the text."""
    weights = torch.arange(1, vectors.shape[1] + 1, dtype=vectors.dtype)[skipped:, None]
    return (vectors[:, skipped:] * weights).sum(1) / weights.sum()


POOLINGS: dict[str, Pooling] = {
    "cls": lambda vectors, skipped: vectors[:, skipped],
    "max": lambda vectors, skipped: vectors[:, skipped:].max(1).values,
    "mean": lambda vectors, skipped: vectors[:, skipped:].mean(1),
    "mean_sqrt_len_tokens": lambda vectors, skipped: vectors[:, skipped:].sum(1) / (vectors.shape[1] - skipped) ** 0.5,
    "weightedmean": _weighted_mean,
    "lasttoken": lambda vectors, skipped: vectors[:, -1],
}
"""By the names that sentence-transformers has for them."""


FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""What older checkpoints have instead of names."""


def chosen(settings: Mapping[str, Any]) -> Sequence[str]:
    """Names of what a ``Pooling`` module's settings ask for; the results of several are put together."""
    mode = settings.get("pooling_mode")
    if isinstance(mode, str):
        return (mode,)
    return tuple(mode or (name for flag, name in FLAGS.items() if settings.get(flag))) or ("mean",)


def pooled_by(name: str, vectors: torch.Tensor) -> torch.Tensor:
    """``[1, size]`` of ``[1, tokens, size]``, all of them."""
    return POOLINGS[name](vectors, 0)


def average(vectors: Sequence[torch.Tensor], weights: Sequence[int]) -> torch.Tensor:
    """Of vectors ``[1, size]``."""
    together = torch.cat(list(vectors))
    shares = torch.tensor(weights, dtype=together.dtype)[:, None] / sum(weights)
    return (together * shares).sum(0, keepdim=True)
