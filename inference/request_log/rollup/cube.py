"""The rows that a delta changes: of its minute, hour and day, each for all combinations that it belongs to."""

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from inference.models import RollUp
from inference.request_log.rollup.counter import Where
from inference.request_log.rollup.figures import Figures

MINUTE, HOUR, DAY = SPANS = (60, 3_600, 86_400)

Cell = tuple[str, str, str]
"""Pipeline, key and dialect, each of which may be ``RollUp.ALL``."""
Cells = dict[Cell, Figures]


class Slot(NamedTuple):
    span: int
    start: int


def cube(deltas: Iterable[tuple[Where, Figures]]) -> dict[Slot, Cells]:
    """What to add to each row. Figures may be shared between slots."""
    minutes: dict[Slot, Cells] = {}
    for (start, pipeline, key, dialect), figures in deltas:
        cells = minutes.setdefault(Slot(MINUTE, start), {})
        for cell in product((pipeline, RollUp.ALL), (key, RollUp.ALL), (dialect, RollUp.ALL)):
            cells.setdefault(cell, Figures()).update(figures)
    found = dict(minutes)
    for span in (HOUR, DAY):
        coarse: dict[Slot, list[Cells]] = {}
        for slot, cells in minutes.items():
            coarse.setdefault(Slot(span, slot.start - slot.start % span), []).append(cells)
        found |= {slot: _sum(several) for slot, several in coarse.items()}
    return found


def _sum(several: list[Cells]) -> Cells:
    if len(several) == 1:
        return several[0]
    found: Cells = {}
    for cells in several:
        for cell, figures in cells.items():
            found.setdefault(cell, Figures()).update(figures)
    return found
