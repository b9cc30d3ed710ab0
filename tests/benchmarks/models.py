"""The models that are served: the bundled one, and one of BERT-base's shape with random weights, made when needed.

.venv/bin/python -m tests.benchmarks.models FOLDER
"""

import shutil
import subprocess
import sys
from pathlib import Path

from inference.conf import BUNDLED_MODEL
from tests.processes import ROOT

CACHE = ROOT / ".bench-cache"
BASE = CACHE / "bert-base-random"


def cache() -> Path:
    """The folder for what is made here; git ignores it."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    return CACHE


def bert_base() -> Path:
    if not (BASE / "model.safetensors").exists():
        cache()
        subprocess.run([sys.executable, "-m", "tests.benchmarks.models", BASE], cwd=ROOT, check=True, timeout=300)
    return BASE


def make_bert_base(folder: Path) -> None:
    """12 layers, hidden size 768, 110 million random parameters, float32; the tokenizer is the bundled model's."""
    import torch  # noqa: PLC0415 - seconds, and only here
    import transformers  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    model = transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=30522, dtype="float32"))
    part = folder.with_suffix(".part")
    model.save_pretrained(part)
    for file in Path(BUNDLED_MODEL).glob("tokenizer*"):
        shutil.copy(file, part)
    part.rename(folder)


if __name__ == "__main__":
    make_bert_base(Path(sys.argv[1]))
