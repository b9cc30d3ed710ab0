"""How a test holds the models of processes that run with the settings of ``tests.held``."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = "TESTS_HOLD"
"""The environment variable with the path of a file: while it is there, models wait."""
REPORT_MODULES = signal.SIGUSR2
POLL_S = 0.005


def holders(gate: Path) -> Path:
    """The folder with a file for each process whose model waits, named by its id."""
    return gate.with_name(f"{gate.name}.holds")


def record(gate: Path) -> Path:
    """The file to which the inputs of models are written while it exists."""
    return gate.with_name(f"{gate.name}.record")


def modules(gate: Path, pid: int) -> Path:
    """The file to which a process writes the names of its modules when it gets ``REPORT_MODULES``."""
    return gate.with_name(f"{gate.name}.modules.{pid}")


class Hold:
    """Holds the models of all processes with these settings."""

    def __init__(self, gate: Path, rest: Callable[[], None] | None = None) -> None:
        """``rest`` waits until the models have nothing to do, so that calls of an earlier test are not counted."""
        self._gate = gate
        self._rest = rest
        self.env = {"DJANGO_SETTINGS_MODULE": "tests.held", HOLD: str(gate)}

    @contextmanager
    def __call__(self, after: int = 0) -> Iterator[None]:
        """No call of a model ends before the end of the block, except the first ``after`` calls of each model."""
        if after and self._rest:
            self._rest()
        holders(self._gate).mkdir()
        new = self._gate.with_suffix(".new")
        new.write_text(str(after))
        new.rename(self._gate)
        try:
            yield
        finally:
            self.end()

    @contextmanager
    def recorded(self) -> Iterator[Callable[[], list[str]]]:
        """Yields a function that returns the inputs that the models were given in the block so far."""
        record(self._gate).touch()
        yield lambda: [json.loads(line) for line in record(self._gate).read_text().splitlines()]
        record(self._gate).unlink()

    def end(self) -> None:
        """Release the models."""
        self._gate.unlink(missing_ok=True)
        shutil.rmtree(holders(self._gate), ignore_errors=True)

    def modules_of(self, pid: int) -> set[str] | None:
        """Modules that the process has imported, once it has reported them."""
        report = modules(self._gate, pid)
        return set(report.read_text().split()) if report.exists() else None

    def holds(self, pid: int) -> bool:
        """Whether the model of this process waits."""
        return holders(self._gate).joinpath(str(pid)).exists()
