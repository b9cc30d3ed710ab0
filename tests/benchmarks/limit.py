"""The bare model without a server: what this machine can give at most. Runs as a process of its own, result as JSON.

    .venv/bin/python -m tests.benchmarks.limit --dtype bfloat16 --corpus mixed

All texts are there from the start and sorted by length; each batch is padded to its longest text only; logits are
computed at the mask only; on a CPU, linear layers have their weights packed by oneDNN. Tokenising, the best five and
their decoded sentences are included, as a client gets them. The wait policy of the threads is the caller's choice
(OMP_WAIT_POLICY): waiting by spinning is faster as long as nothing else runs.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from torch import nn

from inference.conf import BUNDLED_MODEL
from tests.benchmarks import proc, texts

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH_SIZES = (4, 8, 16, 32) if DEVICE == "cpu" else (8, 32, 128, 256)
SHORT_BATCH_SIZES = (8, 16, 32) if DEVICE == "cpu" else BATCH_SIZES
PASSES = 3
TOP = 5
TRIAL_S = 0.6
"""The best batch size is chosen by trials of about this length, on batches spread over all lengths."""


class PackedLinear(nn.Module):
    """A linear layer whose weights lie in memory as oneDNN wants them."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._bias = linear.bias
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        packed: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return packed


class BareModel:
    def __init__(self, folder: str, dtype: torch.dtype) -> None:
        self._tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._mask: Any = self._tokenizer.token_to_id("[MASK]")
        self._model: Any = transformers.BertForMaskedLM.from_pretrained(folder, dtype=dtype).eval().to(DEVICE)
        for module in list(self._model.modules()):
            for name, child in list(module.named_children()):
                if type(child) is nn.Linear and DEVICE == "cpu":
                    setattr(module, name, PackedLinear(child))

    def encode(self, given: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(given))]

    def answer_all(self, given: Sequence[str], batch_size: int) -> list[Any]:
        """The answers in the order of the texts."""
        encoded = self.encode(given)
        answers: list[Any] = [None] * len(encoded)
        for chosen in batches(encoded, batch_size):
            for i, answer in zip(chosen, self.answer([encoded[i] for i in chosen]), strict=True):
                answers[i] = answer
        return answers

    def answer(self, batch: list[list[int]]) -> list[Any]:
        """Answers to a batch in order of length."""
        longest = len(batch[-1])
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch], device=DEVICE)
        kept = torch.arange(longest) < torch.tensor([[len(r)] for r in batch])
        mask = None if len(batch[0]) == longest else kept.to(DEVICE)
        positions = torch.tensor([row.index(self._mask) for row in batch], device=DEVICE)
        hidden = self._model.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        logits = self._model.cls(hidden[torch.arange(len(batch), device=DEVICE), positions])
        scores, tokens = logits.float().softmax(-1).topk(TOP)
        return self._written(batch, positions.tolist(), scores.tolist(), tokens.tolist())

    def _written(
        self, batch: list[list[int]], positions: list[int], scores: list[list[float]], tokens: list[list[int]]
    ) -> list[Any]:
        filled = [
            [*row[:at], token, *row[at + 1 :]]
            for row, at, best in zip(batch, positions, tokens, strict=True)
            for token in best
        ]
        sentences = iter(self._tokenizer.decode_batch(filled))
        return [
            [
                {
                    "score": score,
                    "token": token,
                    "token_str": self._tokenizer.id_to_token(token),
                    "sequence": next(sentences),
                }
                for score, token in zip(row_scores, row_tokens, strict=True)
            ]
            for row_scores, row_tokens in zip(scores, tokens, strict=True)
        ]


def batches(encoded: list[list[int]], size: int) -> list[list[int]]:
    """Positions, sorted by length."""
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    return [order[start : start + size] for start in range(0, len(order), size)]


def measured(model: BareModel, given: Sequence[str], sizes: Sequence[int]) -> dict[str, Any]:
    """The best batch size, and its median over several passes."""
    trials = _trials(model, given, sizes)
    size = max(trials, key=lambda size: trials[size])
    before = time.perf_counter(), time.process_time(), proc.machine_cpu_s()
    seconds = [_timed(lambda: model.answer_all(given, size)) for _ in range(PASSES)]
    elapsed, own, everything = (
        now - then
        for now, then in zip((time.perf_counter(), time.process_time(), proc.machine_cpu_s()), before, strict=True)
    )
    lengths = [len(ids) for ids in model.encode(given)]
    computed = sum(len(batch) * lengths[batch[-1]] for batch in batches(model.encode(given), size))
    return {
        "rates": [round(len(given) / s, 1) for s in seconds],
        "rate": len(given) / median(seconds),
        "tokens_per_s": sum(lengths) / median(seconds),
        "cpu_ms": own / PASSES / len(given) * 1000,
        "other_cores": max(0.0, (everything - own) / elapsed),
        "batch": size,
        "padding": 1 - sum(lengths) / computed,
        "trials": {size: round(rate, 1) for size, rate in trials.items()},
    }


def _trials(model: BareModel, given: Sequence[str], sizes: Sequence[int]) -> dict[int, float]:
    """Texts per second by batch size, the better of two rounds."""
    encoded = model.encode(given)
    tokens_each = sum(map(len, encoded)) / len(encoded)
    model.answer_all(given[: texts.BLOCK], 8)  # the first calls are slow
    seconds = _timed(lambda: model.answer_all(given[: texts.BLOCK], 8)) * len(given) / texts.BLOCK
    stride = max(1, round(seconds / TRIAL_S))
    rates = dict.fromkeys(sizes, 0.0)
    for size in [*sizes, *sizes]:
        # Batches of the one order of all texts, so that they are padded as little as in a whole pass.
        some = [[encoded[i] for i in batch] for batch in batches(encoded, size)[stride // 2 :: stride]]
        tokens = sum(len(ids) for batch in some for ids in batch)
        took_s = _timed(lambda some=some: [model.answer(batch) for batch in some])  # type: ignore[misc]
        rates[size] = max(rates[size], tokens / tokens_each / took_s)
    return rates


def gigaflops(dtype: torch.dtype, *, packed: bool, threads: int) -> float:
    """A plain product of matrices, to compare machines."""
    torch.set_num_threads(threads)
    size, repeats = 1024, 10
    linear = nn.Linear(size, size).to(dtype)
    layer = PackedLinear(linear) if packed else linear
    x = torch.rand(size, size, dtype=dtype)
    layer(x)
    seconds = min(_timed(lambda: layer(x)) for _ in range(repeats))
    return 2 * size**3 / seconds / 1e9


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=BUNDLED_MODEL)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--corpus", default="mixed", choices=("mixed", "short"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    dtype = getattr(torch, options.dtype)
    with torch.inference_mode():
        flops = {"matmul_gflops_packed_1_thread": round(gigaflops(dtype, packed=True, threads=1))}
        if options.dtype == "float32":
            flops["matmul_gflops_1_thread"] = round(gigaflops(dtype, packed=False, threads=1))
        torch.set_num_threads(options.threads)
        model = BareModel(options.model, dtype)
        if options.corpus == "mixed":
            result = measured(model, texts.mixed(), BATCH_SIZES)
        else:
            result = measured(model, [texts.SHORT] * texts.COUNT, SHORT_BATCH_SIZES)
    json.dump(result | flops, sys.stdout)


if __name__ == "__main__":
    main()
