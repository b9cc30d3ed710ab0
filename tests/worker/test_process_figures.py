import os
import socket
import time
from pathlib import Path

import pytest

from inference.worker import process_figures
from inference.worker.process_figures import READ_EVERY_S, ProcessFigures


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_they_are_those_of_this_process_and_read_once_a_second(monkeypatch: pytest.MonkeyPatch):
    used, clock = [10.0], Clock()
    monkeypatch.setattr(time, "process_time", lambda: used[0])
    figures = ProcessFigures(clock)
    first = figures.read()
    assert (first.machine, first.pid, first.busy_cores) == (socket.gethostname(), os.getpid(), 0)
    assert first.memory_mb > 10
    assert first.cores == len(os.sched_getaffinity(0))
    used[0] += 3
    clock.now = READ_EVERY_S * 0.9
    assert figures.read() is first
    clock.now = 2 * READ_EVERY_S
    assert figures.read().busy_cores == pytest.approx(3 / (2 * READ_EVERY_S))


def test_without_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(process_figures, "STATM", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity")
    figures = ProcessFigures().read()
    assert figures.memory_mb == 0
    assert figures.cores >= 1
