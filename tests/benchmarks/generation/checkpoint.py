"""What the servers load, and what they are asked: the model in each form, prompts of a known length, right answers."""

import functools
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.benchmarks.models import cache
from tests.benchmarks.servers import PEERS_PYTHON
from tests.benchmarks.texts import mixed
from tests.processes import ROOT
from tests.real import models

NAME = "smollm2"
TEXTS = (
    "Once upon a time there was a small boat",
    "The capital of France is",
    "def fibonacci(n):\n",
    "Water boils at",
    "In 1969, the first",
    "Dear Sir or Madam,",
    "The three most important things in life are",
    "My grandmother's recipe for bread:",
)
TEXT_TOKENS = 40
_numbers = itertools.count(1)


def original() -> Path:
    models.make(NAME)
    return models.folder(NAME)


def endless() -> Path:
    """The same without a token that ends a text."""
    folder = _made(original().name)
    folder.mkdir(exist_ok=True)
    for file in original().iterdir():
        here = folder / file.name
        if file.name in ("config.json", "generation_config.json"):
            here.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": None}))
        elif not here.is_symlink():
            here.symlink_to(file)
    return folder


def gguf(kind: str) -> Path:
    """The file for llama.cpp; ``kind`` is F32 or Q4_1."""
    file = _made(f"{original().name}-{kind}.gguf")
    if not file.exists():
        command: list[str | Path] = [
            PEERS_PYTHON,
            "-m",
            "tests.benchmarks.generation.gguf_file",
            original(),
            file,
            kind,
        ]
        subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    return file


def right_answers() -> list[str]:
    """What ``model.generate`` writes after each of ``TEXTS``, up to the end of the text."""
    file = _made(f"{original().name}-answers.json")
    if not file.exists():
        command: list[str | Path] = [sys.executable, "-m", "tests.benchmarks.generation.checkpoint", original(), file]
        subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    answers: list[str] = json.loads(file.read_text())
    return answers


def prompt(tokens: int) -> str:
    """So many tokens, of which the first ones are like those of no other prompt: nothing of it is in any cache."""
    number = next(_numbers)
    text = f"{number} boats. " + " ".join(mixed()[number % 100 :])
    return text[: _tokenizer().encode(text).offsets[tokens - 1][1]]


def _made(name: str) -> Path:
    return cache() / f"generation-{name}"


@functools.cache
def _tokenizer() -> Any:
    return Tokenizer.from_file(str(original() / "tokenizer.json"))


def _generate(folder: str, file: str) -> None:
    import torch  # noqa: PLC0415 - seconds, and only here
    import transformers  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    answers = []
    for text in TEXTS:
        inputs = tokenizer(text, return_tensors="pt")
        made = model.generate(**inputs, do_sample=False, max_new_tokens=TEXT_TOKENS)
        answers.append(tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    Path(file).write_text(json.dumps(answers))


if __name__ == "__main__":
    _generate(*sys.argv[1:])
