"""What is sent: 512 texts of mixed length, or one short one."""

import functools
from pathlib import Path
from statistics import mean, median

from tokenizers import Tokenizer

from inference.conf import BUNDLED_MODEL

TEXTS_FILE = Path(__file__).with_name("texts.txt")
COUNT = 512
BLOCK = 64
"""Each block of so many texts has the same mix of lengths."""
SHORT = "test [MASK]"


def mixed() -> list[str]:
    return TEXTS_FILE.read_text().splitlines()


def corpus(name: str) -> list[str]:
    """``mixed`` or ``short``."""
    return mixed() if name == "mixed" else [SHORT]


def count_tokens(text: str) -> int:
    """With [CLS] and [SEP]."""
    return len(_tokenizer().encode(text).ids)


def describe(texts: list[str]) -> str:
    lengths = sorted(map(count_tokens, texts))
    p90 = lengths[len(lengths) * 9 // 10]
    return (
        f"{len(texts)} texts of {lengths[0]} to {lengths[-1]} tokens, "
        f"mean {mean(lengths):.1f}, median {median(lengths):g}, p90 {p90}"
    )


@functools.cache
def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(f"{BUNDLED_MODEL}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
