"""What tells one checkpoint from another."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

FILES = {".json", ".jinja", ".model", ".safetensors", ".txt"}
"""Suffixes of what is loaded: configuration, chat template, tokenizer and weights."""


def identity(model: str, revision: str) -> str:
    """Of a folder or file a digest of the content, wherever it is and whatever its name; of a Hub id its commit."""
    folder = Path(model)
    if folder.is_file():
        with folder.open("rb") as opened:
            return file_digest(opened, sha256).hexdigest()
    if not folder.is_dir():
        return f"{model}@{revision}"
    total = sha256()
    for path in sorted(path for path in _files(folder) if path.suffix in FILES and path.is_file()):
        with path.open("rb") as opened:
            total.update(str(path.relative_to(folder)).encode() + file_digest(opened, sha256).digest())
    return total.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """Those of the folder itself and of the modules of sentence-transformers that it has; others are not loaded."""
    yield from folder.iterdir()
    listed = folder / "modules.json"
    with suppress(ValueError):
        for module in read_modules(listed.read_bytes()) if listed.is_file() else ():
            if module.path and (folder / module.path).is_dir():
                yield from (folder / module.path).iterdir()


@dataclass(frozen=True, slots=True)
class Module:
    """A step from a text to its embedding; ``path`` is the folder, within the checkpoint's, of what belongs to it."""

    kind: str
    path: str


def read_modules(content: bytes) -> list[Module]:
    """What ``modules.json`` lists. Raises ``ValueError`` where it is not like those of sentence-transformers."""
    try:
        modules = [Module(each["type"].rpartition(".")[2], each["path"]) for each in json.loads(content)]
        paths = [Path(module.path) for module in modules]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a list of modules") from error
    if any(path.is_absolute() or ".." in path.parts for path in paths):
        raise ValueError("a module outside of the checkpoint")
    return modules
