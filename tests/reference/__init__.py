"""What transformers 4 answered for tasks that transformers 5 removed, and sentence-transformers for embeddings.

``make reference`` asks them in an environment of their own and writes ``answers/``; tests read these files:

    for case in cases("question-answering"):
        folder = build(case.model, tmp_path / case.model)
        ...
"""

import functools
import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch

ANSWERS = Path(__file__).parent / "answers"


@dataclass(frozen=True)
class Case:
    """One call of a pipeline, and its answer."""

    model: str
    """Module and function below ``tests`` that make it, such as ``tiny_models_qa.bert``."""
    task: str
    """As ``transformers.pipeline`` took it, such as ``translation_en_to_de``."""
    input: Any
    """As JSON; pictures in base64."""
    parameters: dict[str, Any]
    answer: Any


def cases(task: str) -> list[Case]:
    """Those of a task: of ``question-answering``, ``translation``, ..., or of ``sentence-transformers``."""
    recorded = _recorded(task)
    return [Case(**{**case, "input": recorded["inputs"][case["input"]]}) for case in recorded["cases"]]


def build(model: str, folder: Path) -> Path:
    """Make the model that a case names. It must be the one that the answers were recorded for."""
    make(model, folder)
    expected = {recorded["models"].get(model) for recorded in map(_recorded, tasks())} - {None}
    found = fingerprint(folder)
    same = any(abs(found - number) <= 1e-5 * number for number in expected)
    assert same, f"the weights of {model} are not those that answers are recorded for: run make reference"
    return folder


def make(model: str, folder: Path) -> None:
    module, _, function = model.partition(".")
    folder.mkdir(parents=True, exist_ok=True)
    getattr(importlib.import_module(f"tests.{module}"), function)(folder)


def tasks() -> list[str]:
    return sorted(file.stem for file in ANSWERS.glob("*.json"))


def fingerprint(folder: Path) -> float:
    """The sum of all weights without their signs."""
    files = sorted(folder.rglob("*.safetensors"))
    return sum(float(w.double().abs().sum()) for file in files for w in safetensors.torch.load_file(file).values())


@functools.cache
def _recorded(task: str) -> Any:
    return json.loads((ANSWERS / f"{task}.json").read_text())
