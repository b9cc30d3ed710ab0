"""Decoders count positions from the length of the cache, one for the whole batch; here each row has its own."""

from inspect import signature
from typing import Any

import torch
from torch import nn


class RowPositions(nn.Module):
    """Takes the place of a decoder's embedding of positions.

    Without ``positions``, which are ``[row, token]``, it is what it was.
    """

    def __init__(self, stock: nn.Module, longest: int, token: int, device: Any) -> None:
        super().__init__()
        self.stock = stock
        self.positions: torch.Tensor | None = None
        ids = torch.full((1, longest), token, device=device)
        possible = {"input_ids": ids, "input_ids_shape": ids.shape, "past_key_values_length": 0}
        wanted = signature(stock.forward).parameters
        table = stock(**{name: value for name, value in possible.items() if name in wanted})
        self._table = table.reshape(longest, -1)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.stock(*args, **kwargs) if self.positions is None else self._table[self.positions]
