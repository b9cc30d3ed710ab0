"""The models that are served: the bundled one, and one of BERT-base's shape with random weights, made when needed.

.venv/bin/python -m tests.benchmarks.models KIND FOLDER
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
    return made(BASE, "bert_base")


def made(folder: Path, kind: str, module: str = "tests.benchmarks.models") -> Path:
    """The model in this folder, made in a process of its own if it is not there yet."""
    if not (folder / "model.safetensors").exists():
        cache()
        command = [sys.executable, "-m", module, kind, str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    return folder


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


def make_llama(folder: Path) -> None:
    """6 layers, hidden size 512, 30,000 words, heads that share keys; it never ends a text by itself."""
    import torch  # noqa: PLC0415 - seconds, and only here
    import transformers  # noqa: PLC0415

    from tests import tiny_models  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    part = folder.with_suffix(".part")
    tokenizer = tiny_models.byte_level_tokenizer()
    tokenizer.model_max_length = 1024
    tokenizer.add_tokens([f" w{number}" for number in range(30_000 - len(tokenizer))])
    config = transformers.LlamaConfig(
        vocab_size=30_000,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=None,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(part)
    tokenizer.save_pretrained(part)
    part.rename(folder)


if __name__ == "__main__":
    {"bert_base": make_bert_base, "llama": make_llama}[sys.argv[1]](Path(sys.argv[2]))
