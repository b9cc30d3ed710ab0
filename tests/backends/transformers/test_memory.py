import platform
from pathlib import Path

import pytest
import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers import memory
from inference.backends.transformers.description import resident_mb
from inference.backends.transformers.memory import Free
from inference.backends.transformers.source import Source
from inference.conf import BUNDLED_MODEL
from tests import tiny_models
from tests.backends.transformers.running import load


def group(folder: Path, limit: str, used: int, kept: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {kept}\nactive_file 7\n")


def test_each_control_group_with_a_limit_counts(tmp_path: Path):
    """What is kept of files can be freed, so it is no loss."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    own.write_text("0::/service/job\n")
    for path, limit in (("", "9000000"), ("service", "max"), ("service/job", "5000000")):
        group(root / path, limit, used=3_000_000, kept=1_000_000)
    found = [free.megabytes for free in memory.in_control_groups(root, own)]
    assert found == pytest.approx([3, 7])


def test_where_there_is_no_limit_the_machine_counts():
    assert [free.where for free in memory.available("cpu")][-1] == "the machine"
    assert min(memory.available("cpu")).megabytes > 0


def test_a_model_that_does_not_fit_is_refused_with_the_figures_before_its_weights_are_read(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(memory, "available", lambda device: [Free(100.0, "its control group")])
    with pytest.raises(
        LoadFailed, match="and its control group has 100 MB free; free some, choose a smaller"
    ) as raised:
        load(BUNDLED_MODEL)
    weights_mb = 4 * sum(map(memory._parameters, memory._files(Source(BUNDLED_MODEL)))) / 1e6
    assert f"({weights_mb:,.0f} MB of weights" in str(raised.value)
    assert weights_mb > 50


@pytest.mark.parametrize(
    ("kind", "dtype", "twice"), [("Llama", "auto", False), ("Llama", "int8", True), ("GPTNeoX", "auto", True)]
)
def test_weights_count_once_where_layers_are_packed_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, dtype: str, twice: bool
) -> None:
    folder = tiny_models.decoder(tmp_path, kind)
    monkeypatch.setattr(memory, "available", lambda device: [Free(0.0, "the machine")])
    with pytest.raises(LoadFailed, match="MB while it is loaded") as raised:
        load(folder, dtype=dtype)
    assert ("twice while layers are packed" in str(raised.value)) is twice


def test_one_that_fits_is_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "available", lambda device: [Free(1_000.0, "the machine")])
    memory.check(Source(BUNDLED_MODEL), "bundled-model", "cpu", torch.float32)


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"], ids=["none", "empty", "damaged"])
def test_what_is_wrong_with_the_weights_is_left_to_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
):
    monkeypatch.setattr(memory, "available", lambda device: [Free(0.0, "the machine")])
    if content is not None:
        (tmp_path / memory.WEIGHTS).write_bytes(content)
    memory.check(Source(str(tmp_path)), "torn", "cpu", torch.float32)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc keeps what others give back by themselves")
def test_what_loading_has_freed_goes_back_to_the_system():
    """Each second block is still in use, so that the heap cannot shrink from its end."""
    del [torch.ones(7_000_000)][0]  # from here on, smaller blocks are from the heap and no mappings of their own
    blocks = [torch.ones(250_000) for _ in range(200)]
    del blocks[::2]
    before = resident_mb()
    memory.give_back()
    assert resident_mb() < before - 50, "100 blocks of a megabyte were freed"
