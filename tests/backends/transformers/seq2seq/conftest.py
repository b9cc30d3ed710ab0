from collections.abc import Callable
from pathlib import Path

import pytest

from tests import seq2seq_models


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny encoder-decoder model, made once; not to be changed."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = getattr(seq2seq_models, name)(tmp_path_factory.mktemp("models") / name)
        return made[name]

    return folder
