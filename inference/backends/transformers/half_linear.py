"""Layers in float32 whose weights are held in 16 bits: they take half the memory, and half the time to be read.

Most checkpoints have weights of 16 bits (float16, or bfloat16, whose numbers of ordinary size float16 holds exactly),
so nothing is lost: FBGEMM widens them in registers, and multiplies and adds in float32. Few tokens at a time, as in
decoding, take as long as the weights take to be read.
"""

import torch
from torch import nn
from torch.nn import functional

PART = 128
"""Rows of a matrix that are compared at once."""
ENGINES = {"x86", "fbgemm"}


class HalfLinear(nn.Module):
    """``weight`` is ``[outputs, inputs]``."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight.detach().contiguous(), bias)

    @classmethod
    def of(cls, linear: nn.Linear) -> "HalfLinear":
        return cls(linear.weight, linear.bias)

    @staticmethod
    def holds(linear: nn.Linear) -> bool:
        """Whether the layer may be replaced."""
        available = torch.backends.quantized.engine in ENGINES and linear.weight.dtype == torch.float32
        return available and fits(linear.weight.data, torch.float16)

    def unpacked(self) -> nn.Linear:
        weight, bias = torch.ops.quantized.linear_unpack_fp16(self._packed)
        linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
        linear.weight, linear.bias = nn.Parameter(weight.float(), requires_grad=False), bias
        return linear

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(inputs, self._packed)
        return result


class HalfEmbedding(nn.Module):
    """An embedding in float32 whose numbers bfloat16 holds exactly."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.table = nn.Parameter(embedding.weight.data.bfloat16(), requires_grad=False)
        self._scale = getattr(embedding, "embed_scale", None)

    @staticmethod
    def holds(embedding: nn.Embedding) -> bool:
        return embedding.weight.dtype == torch.float32 and fits(embedding.weight.data, torch.bfloat16)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found = functional.embedding(ids, self.table).float()
        return found if self._scale is None else found.mul_(self._scale)


def fits(weight: torch.Tensor, half: torch.dtype) -> bool:
    """Whether the matrix changes by no more than float32 rounds what is computed with it: mostly, by nothing."""
    if all(torch.equal(part, part.to(half).float()) for part in torch.split(weight, PART)):
        return True
    changed = total = 0.0
    for part in torch.split(weight, PART):
        changed += float((part - part.to(half).float()).square_().sum())
        total += float(part.square().sum())
    return changed <= total * torch.finfo(torch.float32).eps ** 2
