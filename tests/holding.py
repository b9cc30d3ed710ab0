"""How a test holds the models of processes that run with the settings of ``tests.held``."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = "TESTS_HOLD"
"""The environment variable with the path of a file: while it is there, models wait."""
POLL_S = 0.005


def holders(gate: Path) -> Path:
    """The folder in which processes whose model waits say so, by their id."""
    return gate.with_name(f"{gate.name}.holds")


def record(gate: Path) -> Path:
    """What models are given, where somebody wants to know."""
    return gate.with_name(f"{gate.name}.record")


class Hold:
    """Holds the models of all processes with these settings."""

    def __init__(self, gate: Path, rest: Callable[[], None] | None = None) -> None:
        """``rest`` waits until the models have nothing to do: what is left of an earlier test must not be counted."""
        self._gate = gate
        self._rest = rest
        self.env = {"DJANGO_SETTINGS_MODULE": "tests.held", HOLD: str(gate)}

    @contextmanager
    def __call__(self, after: int = 0) -> Iterator[None]:
        """No call of a model ends before the end of the block; ``after``: but so many of each model do."""
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
        """A function that tells which inputs the models were given in the block, so far."""
        record(self._gate).touch()
        yield lambda: [json.loads(line) for line in record(self._gate).read_text().splitlines()]
        record(self._gate).unlink()

    def end(self) -> None:
        """Let them go on."""
        self._gate.unlink(missing_ok=True)
        shutil.rmtree(holders(self._gate), ignore_errors=True)

    def holds(self, pid: int) -> bool:
        """Whether the model of this process waits."""
        return holders(self._gate).joinpath(str(pid)).exists()
