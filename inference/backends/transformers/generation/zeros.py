"""Tensors whose memory is that of the system."""

import math
import mmap
from typing import Any

import torch


def zeros(sizes: tuple[int, ...], dtype: torch.dtype, device: Any) -> torch.Tensor:
    """On a CPU they take no time and no memory until they are written to, and return it at once when freed."""
    if torch.device(device).type != "cpu":
        return torch.zeros(sizes, dtype=dtype, device=device)
    pages = mmap.mmap(-1, math.prod(sizes) * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(pages, dtype=dtype).view(sizes)
