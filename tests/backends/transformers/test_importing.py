"""What importing the libraries leaves out."""

import sys
from pathlib import Path

import pytest
import transformers
from transformers.utils import import_utils

from inference.backends.transformers.backend import _import_models_of_transformers


def test_the_files_of_transformers_models_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it finds in them is what it would have found by itself."""
    folder = Path(transformers.__file__).parent / "models"
    itself = import_utils.define_import_structure(folder)  # reads them, as importing transformers does
    read = import_utils.create_import_structure_from_path
    before = transformers.models
    monkeypatch.setattr(transformers, "models", before)  # set back afterwards, as importing sets it
    monkeypatch.delitem(sys.modules, "transformers.models")
    misses = read.cache_info().misses
    _import_models_of_transformers()
    assert read.cache_info().misses == misses
    again = transformers.models
    assert again is not before
    assert (again._class_to_module, again._import_structure) == (before._class_to_module, before._import_structure)
    assert {name for names in itself.values() for name in names} <= set(again._import_structure)
    assert import_utils.create_import_structure_from_path is read
