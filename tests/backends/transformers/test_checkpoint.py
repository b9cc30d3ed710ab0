from pathlib import Path

import msgspec
import pytest

from inference.backends.transformers.checkpoint import identity
from inference.messaging.messages import Description
from tests.scheduling.test_host_registry import DESCRIPTION


def checkpoint(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, content in {"config": "{}", "model": "weights", **files}.items():
        (folder / f"{name}.json").write_text(content)
    return folder


def test_a_folder_is_known_by_what_is_in_its_files(tmp_path: Path):
    one, same = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "same")
    other, more = checkpoint(tmp_path / "other", model="weightz"), checkpoint(tmp_path / "more", tokenizer="{}")
    found = [identity(str(folder), "") for folder in (one, same, other, more)]
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_files_that_are_not_loaded_make_no_difference(tmp_path: Path):
    folder = checkpoint(tmp_path / "one")
    before = identity(str(folder), "")
    (folder / "README.md").write_text("About it.")
    assert identity(str(folder), "") == before


def test_a_model_of_the_hub_is_known_by_its_commit():
    assert identity("owner/name", "abc") != identity("owner/name", "def")


@pytest.mark.parametrize(
    ("field", "value", "same"),
    [
        ("device", "cuda:0", True),
        ("threads", 64, True),
        ("memory_mb", 9, True),
        ("dtype", "bfloat16", False),
        ("task", "text-classification", False),
        ("longest_input", 11, False),
        ("streams", True, False),
        ("chat", True, False),
    ],
)
def test_a_version_is_what_decides_about_requests_and_answers(field: str, value: object, same: bool):
    from inference.backends.transformers.description import version_of  # noqa: PLC0415 - imports transformers

    other: Description = msgspec.structs.replace(DESCRIPTION, **{field: value})
    assert (version_of(other, "weights") == version_of(DESCRIPTION, "weights")) == same
    assert version_of(DESCRIPTION, "other weights") != version_of(DESCRIPTION, "weights")
