"""Quotas of control groups, as the kernel shows them in files."""

import os
from pathlib import Path

import pytest

from inference.backends.transformers import cores


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own"
    path.write_text("12:cpu:/ignored\n0::/system.slice/worker.service\n")
    return path


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cpu_cfs", "cpu.cfs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, []),
        ({"cpu_max": "max 100000"}, []),
        ({"cpu_max": "150000 100000"}, [1.5]),
        ({"cpu_max": "50000 100000"}, [1.0]),
        ({"system.slice__cpu_max": "400000 100000", "system.slice__worker.service__cpu_max": "200000 100000"}, [2, 4]),
        ({"cpu__cpu_cfs_quota_us": "300000", "cpu__cpu_cfs_period_us": "100000"}, [3]),
        ({"cpu__cpu_cfs_quota_us": "-1", "cpu__cpu_cfs_period_us": "100000"}, []),
    ],
)
def test_quotas(tmp_path: Path, own: Path, files: dict[str, str], expected: list[float]) -> None:
    write(tmp_path, **files)
    assert cores.quotas(tmp_path, own) == expected


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cores.quotas(tmp_path / "none", tmp_path / "none") == []


def test_a_quota_takes_cores_away_and_adds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for quota, expected in ((1.5, 2), (16.0, 4)):
        monkeypatch.setattr(cores, "quotas", lambda quota=quota: [quota])
        assert cores.available() == expected
