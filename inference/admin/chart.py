"""Charts, drawn on the server: the strict content security policy allows no scripts of others.

The drawing is stretched to the width of the page, so all text is outside of it. ``chart.js`` makes tooltips of the
titles that a browser shows without it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

HEIGHT = 100.0
"""Of the drawing, whose width is one for each step."""
LEAST_HEIGHT = 1.0
"""Of a bar that stands for more than nothing."""
GAP = 0.1
ROUND = (1, 2, 5, 10)
"""What the largest value of a scale begins with."""

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    colour: str
    """Class of its colour."""
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A step, with its values as text."""

    x: int
    label: str
    shown: list[str]
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    curves: list[Curve]
    marks: list[Mark]
    scale: list[str]
    """Texts of the top, the middle and the bottom."""
    filled: bool = False
    """Its curves are bars, one on the other."""
    note: str = ""
    """Beside the title."""

    @property
    def width(self) -> int:
        return len(self.marks)

    @property
    def ends(self) -> list[str]:
        """Labels below it, from left to right."""
        return [self.marks[n].label for n in sorted({0, len(self.marks) // 2, len(self.marks) - 1})]

    @property
    def empty(self) -> bool:
        return not any(curve.path for curve in self.curves)

    @property
    def grid(self) -> str:
        return "".join(f"M0 {y}H{self.width}" for y in (0, 50))


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    values: Values
    colour: str = "c0"


def bars(title: str, labels: Sequence[str], several: Sequence[Series], show: Callable[[float], str]) -> Chart:
    """One on the other."""
    sums = [sum(value or 0 for value in step) for step in zip(*(series.values for series in several), strict=True)]
    top = _top(sums)
    base = [0.0] * len(labels)
    curves = []
    for series in several:
        path = []
        for x, value in enumerate(series.values):
            if value:
                height = max(LEAST_HEIGHT, HEIGHT * value / top)
                path.append(f"M{x + GAP / 2:g} {HEIGHT - base[x]:.2f}h{1 - GAP:g}v-{height:.2f}h-{1 - GAP:g}z")
                base[x] += height
        curves.append(Curve(series.name, series.colour, "".join(path)))
    return Chart(title, curves, _marks(labels, several, show), _scale(top, show), filled=True)


def lines(title: str, labels: Sequence[str], several: Sequence[Series], show: Callable[[float], str]) -> Chart:
    """With gaps where there is no value."""
    top = _top([value for series in several for value in series.values if value is not None])
    curves = [Curve(series.name, series.colour, _line(series.values, top)) for series in several]
    return Chart(title, curves, _marks(labels, several, show), _scale(top, show))


def _line(values: Values, top: float) -> str:
    path, before = [], None
    for x, (value, following) in enumerate(zip_longest(values, values[1:])):
        if value is not None:
            y = f"{HEIGHT - HEIGHT * value / top:.2f}"
            if before is None and following is None:
                path.append(f"M{x + GAP:g} {y}h{1 - 2 * GAP:g}")
            else:
                path.append(f"{'M' if before is None else 'L'}{x + 0.5:g} {y}")
        before = value
    return "".join(path)


def _marks(labels: Sequence[str], several: Sequence[Series], show: Callable[[float], str]) -> list[Mark]:
    marks = []
    for x, (label, *values) in enumerate(zip(labels, *(series.values for series in several), strict=True)):
        shown = ["–" if value is None else show(value) for value in values]
        if len(several) == 1:
            title = f"{label}: {shown[0]}"
        else:
            named = zip(several, shown, strict=True)
            title = "\n".join([label, *(f"{series.name}: {text}" for series, text in named)])
        marks.append(Mark(x, label, shown, title))
    return marks


def _scale(top: float, show: Callable[[float], str]) -> list[str]:
    return [show(top), show(top / 2), show(0)]


def _top(values: Sequence[float]) -> float:
    """A round number that is not below any."""
    largest = max(values, default=0)
    if largest <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(largest))
    return next(first * power for first in ROUND if first * power >= largest * (1 - 1e-9))
