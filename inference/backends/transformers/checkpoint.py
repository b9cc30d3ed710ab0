"""What tells one checkpoint from another."""

from hashlib import file_digest, sha256
from pathlib import Path

FILES = {".json", ".jinja", ".model", ".safetensors", ".txt"}
"""Suffixes of what is loaded: configuration, chat template, tokenizer and weights."""


def identity(model: str, revision: str) -> str:
    """Of a folder a digest of its files, whatever it is called and wherever it is; of a Hub id its commit."""
    folder = Path(model)
    if not folder.is_dir():
        return f"{model}@{revision}"
    total = sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in FILES and path.is_file()):
        with path.open("rb") as opened:
            total.update(path.name.encode() + file_digest(opened, sha256).digest())
    return total.hexdigest()
