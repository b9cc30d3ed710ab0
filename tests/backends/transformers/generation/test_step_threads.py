"""Steps with few tokens run on one thread where that is faster."""

import time
from contextlib import suppress

import pytest
import torch

from inference.backends.base import at_once
from inference.backends.transformers.generation.step_threads import StepThreads


@pytest.fixture(autouse=True)
def _four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Machine:
    """Whose steps take a known time by its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, faster_alone_up_to: int) -> None:
        self._now, self._most = 0.0, faster_alone_up_to
        self.seen: list[tuple[int, int]] = []
        monkeypatch.setattr(time, "perf_counter", lambda: self._now)

    def step(self, texts: int) -> None:
        threads = torch.get_num_threads()
        self.seen.append((texts, threads))
        self._now += 1.0 if (threads == 1) == (texts <= self._most) else 2.0


@pytest.mark.parametrize(("faster_alone_up_to", "alone"), [(0, 0), (2, 1), (5, 4), (99, 16)])
def test_it_is_measured(monkeypatch: pytest.MonkeyPatch, faster_alone_up_to: int, alone: int):
    threads, machine = StepThreads(), Machine(monkeypatch, faster_alone_up_to)
    threads.measure(machine.step, 16, at_once)
    assert threads.alone == alone
    assert {1, 4} == {number for _, number in machine.seen}
    assert len({texts for texts, _ in machine.seen}) == 2, "not each of the three"
    assert torch.get_num_threads() == 4


def test_no_more_is_measured_than_fits(monkeypatch: pytest.MonkeyPatch):
    threads, machine = StepThreads(), Machine(monkeypatch, 99)
    threads.measure(machine.step, 3, at_once)
    assert (threads.alone, max(texts for texts, _ in machine.seen)) == (1, 1)


def test_a_step_leaves_the_setting_as_it_was():
    threads = StepThreads()
    threads.alone = 4
    for tokens in (1, 4):
        with suppress(ZeroDivisionError), threads.of(tokens):
            assert torch.get_num_threads() == 1
            1 / 0  # noqa: B018
        assert torch.get_num_threads() == 4
    with threads.of(5):
        assert torch.get_num_threads() == 4
