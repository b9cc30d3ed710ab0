"""What a grammar costs a batch of 8 texts: ``python -m tests.real.grammar_speed``, in seconds of the CPU."""

import time
from statistics import median
from typing import Any

from inference.backends.transformers.generation.generator import Generator
from tests import generating
from tests.generating import job, one
from tests.real import models

TEXTS, TOKENS, ROUNDS = 8, 128, 5
ITEM = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "price": {"type": "number"}, "tags": {"type": "array"}},
    "required": ["name", "price", "tags"],
}
GRAMMAR = {"type": "json", "value": {"type": "array", "items": ITEM, "minItems": 50}}
PROMPT = [{"role": "user", "content": "Write a list of fifty fruits with their prices as JSON."}]


def seconds(made: Generator, round_: int, **more: Any) -> float:
    """Of the steps after the prompts."""
    parameters = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": True} | more
    texts = [one(made, job(PROMPT, n, seed=100 * round_ + n, **parameters)) for n in range(TEXTS)]
    made.retain(texts)
    while not all(text.decoding for text in texts):
        made.step(texts)
    began = time.thread_time()
    for _ in range(TOKENS - 10):
        made.step(texts)
    spent = time.thread_time() - began
    made.retain(())
    return spent


def main() -> None:
    made = generating.generator(models.folder("smollm2"))
    measured = [(seconds(made, n), seconds(made, n, grammar=GRAMMAR)) for n in range(ROUNDS)]
    free, following = (median(each) for each in zip(*measured, strict=True))
    tokens = TEXTS * (TOKENS - 10)
    print(  # noqa: T201
        f"{tokens / free:.0f} tokens/s without, {tokens / following:.0f} with a grammar: {free / following:.2f}"
    )


if __name__ == "__main__":
    main()
