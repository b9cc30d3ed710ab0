"""Photographs of scikit-image: chelsea.png, a cat, and coffee.png, an espresso (both CC0)."""

import shutil
from pathlib import Path

from tests.real.packages import Package, fetch

FILES = Package(
    "scikit-image", "0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", compiled=True
)


def make(out: Path, scratch: Path) -> None:
    for name in ("chelsea.png", "coffee.png"):
        shutil.copy(fetch(FILES, scratch) / "skimage/data" / name, out)
