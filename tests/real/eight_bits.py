"""What ``INFERENCE_DTYPE=int8`` changes in the answers of real models: ``python -m tests.real.eight_bits``.

Texts are those of the benchmarks; what float32 computes is the reference.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch.nn.functional import normalize

from inference.backends.transformers.quantized_linear import quantize_linears
from inference.backends.transformers.warm_up import VARIED
from tests.real import models

TEXTS = Path(__file__).parent.parent / "benchmarks/texts.txt"
ROWS, LENGTH = 16, 256
"""Tokens that a decoder reads: rows of so many."""


class Decoder(NamedTuple):
    perplexity: float
    exact_perplexity: float
    agreement: float
    """Share of positions at which the likeliest next token is the same."""


class Encoder(NamedTuple):
    least_cosine: float
    mean_cosine: float
    nearest: float
    """Share of sentences whose nearest neighbour is the same."""


@torch.inference_mode()
def decoder(name: str) -> Decoder:
    tokenizer, model = _load(name, transformers.AutoModelForCausalLM)
    ids = torch.tensor(tokenizer(TEXTS.read_text()).input_ids[: ROWS * LENGTH]).view(ROWS, LENGTH)
    exact = model(ids).logits
    quantize_linears(model, lambda: model(**tokenizer(VARIED, return_tensors="pt")).logits)
    changed = model(ids).logits
    agreement = (changed.argmax(-1) == exact.argmax(-1)).float().mean()
    return Decoder(_perplexity(changed, ids), _perplexity(exact, ids), float(agreement))


@torch.inference_mode()
def encoder(name: str) -> Encoder:
    tokenizer, model = _load(name, transformers.AutoModel)
    sentences = [line for line in TEXTS.read_text().splitlines() if len(line) > 40][:200]
    batch = tokenizer(sentences, padding=True, truncation=True, max_length=128, return_tensors="pt")
    exact = _vectors(model, batch)
    quantize_linears(model, lambda: model(**tokenizer(VARIED, return_tensors="pt")).last_hidden_state)
    changed = _vectors(model, batch)
    cosines = (exact * changed).sum(-1)
    nearest = (_nearest(exact) == _nearest(changed)).float().mean()
    return Encoder(float(cosines.min()), float(cosines.mean()), float(nearest))


def _load(name: str, kind: Any) -> tuple[Any, Any]:
    folder = models.folder(name)
    return transformers.AutoTokenizer.from_pretrained(folder), kind.from_pretrained(folder, dtype=torch.float32).eval()


def _perplexity(logits: torch.Tensor, ids: torch.Tensor) -> float:
    logprobs = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])
    return math.exp(-float(logprobs.mean()))


def _vectors(model: Any, batch: Any) -> torch.Tensor:
    hidden, kept = model(**batch).last_hidden_state, batch.attention_mask[..., None]
    return normalize((hidden * kept).sum(1) / kept.sum(1), dim=-1)


def _nearest(vectors: torch.Tensor) -> torch.Tensor:
    return (vectors @ vectors.T).fill_diagonal_(-1).argmax(1)


if __name__ == "__main__":
    print(decoder("smollm2"))  # noqa: T201
    print(encoder("minilm"))  # noqa: T201
