"""All servers side by side: each is measured in its turn, and ours are compared with the others."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import mean, median

from tests.benchmarks import proc
from tests.benchmarks.generation import engines, rows
from tests.benchmarks.generation.engines import Engine
from tests.benchmarks.generation.rows import Measurement
from tests.benchmarks.report import say
from tests.benchmarks.targets import BUSY_CORES

WIDTH, COLUMN = 44, 22


@dataclass
class Comparison:
    """Of servers by name; a row without a figure of one of them says that it failed there."""

    names: Sequence[str]
    found: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By row and server, one figure of each round."""
    failed: list[str] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    """Cores that other processes of this machine had, in each measurement."""

    def take(self, engine: Engine, measurement: Measurement) -> None:
        """One that fails leaves a hole in the table."""
        engine.settle()
        began, machine, own = time.perf_counter(), proc.machine_cpu_s(), self._own(engine)
        try:
            figures = measurement(engine)
        except (AssertionError, LookupError, OSError, ValueError) as error:
            self.failed.append(f"FAILED {engine.name}: {error}")
            return
        others = proc.machine_cpu_s() - machine - (self._own(engine) - own)
        self.others.append(max(0.0, others / (time.perf_counter() - began)))
        say(f"{engine.name}: " + "; ".join(f"{row} {_figure(figure)}" for row, figure in figures.items()))
        for row, figure in figures.items():
            self.found.setdefault(row, {}).setdefault(engine.name, []).append(figure)

    def _own(self, engine: Engine) -> float:
        return sum(proc.cpu_s(engine.sessions)) + time.process_time()

    def medians(self) -> dict[str, dict[str, float]]:
        return {row: {name: median(each) for name, each in by_name.items()} for row, by_name in self.found.items()}

    def lines(self) -> Iterator[str]:
        """A table of figures, one of ratios, and what disturbed them."""
        medians = self.medians()
        yield self._line("", self.names)
        for row, by_name in medians.items():
            yield self._line(row, [_figure(by_name[name]) if name in by_name else "–" for name in self.names])
        pairs = [(own, other) for own in self.names for other in self.names if own != other and engines.is_ours(own)]
        if pairs:
            yield ""
            yield self._line("ratio", [f"{own[-COLUMN:]} /" for own, _ in pairs])
            yield self._line("", [other[-COLUMN:] for _, other in pairs])
        for row, by_name in medians.items() if pairs else ():
            yield self._line(row, [_ratio(by_name, own, other) for own, other in pairs])
        yield ""
        yield from self.failed
        if self.others:
            busy = f"{mean(self.others):.2f} cores, {max(self.others):.2f} at most in one measurement"
            yield f"other processes: {busy}{' DISTURBED' if max(self.others) > BUSY_CORES else ''}"

    def _line(self, row: str, cells: Sequence[str]) -> str:
        return f"{row:{WIDTH}}" + "".join(f"{cell[-COLUMN:]:>{COLUMN + 1}}" for cell in cells)


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _ratio(by_name: dict[str, float], own: str, other: str) -> str:
    return f"{by_name[own] / by_name[other]:.2f}" if by_name.get(other) and own in by_name else "–"


def compare(names: Sequence[str], measured: Sequence[str], rounds: int) -> Comparison:
    """``measured`` are names of ``rows.ALL``."""
    comparison = Comparison(names)
    with ExitStack() as stack:
        all_running = []
        for name in names:
            all_running.append(stack.enter_context(engines.running(name)))
            comparison.take(all_running[-1], rows.started)
        for each in measured:
            for _ in range(rounds):
                for engine in all_running:
                    comparison.take(engine, rows.ALL[each])
    return comparison
