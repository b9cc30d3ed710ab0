"""A bar chart of whole days, drawn on the server: the strict content security policy allows no scripts of others."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

MOST_DAYS = 92
"""That one chart shows, the newest ones: bars of more days would be thinner than a pixel on a phone."""
HEIGHT = 100.0
"""Of the drawing, whose width is one for each day."""
LEAST_HEIGHT = 1.0
"""Of a bar that stands for more than nothing."""
GAP = 0.1


@dataclass(frozen=True, slots=True)
class Bar:
    day: date
    shown: str
    """Its value."""
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    bars: list[Bar]
    largest_shown: str
    """The largest value."""
    hidden_days: int
    """That have figures and are older than those shown."""

    @property
    def first(self) -> date:
        return self.bars[0].day

    @property
    def last(self) -> date:
        return self.bars[-1].day

    @property
    def width(self) -> int:
        return len(self.bars)


def chart(title: str, values: Mapping[date, float]) -> Chart | None:
    """Of values by day; days without one are empty. ``None`` if there is none."""
    if not values:
        return None
    first, last = min(values), max(values)
    shown_from = max(first, last - timedelta(days=MOST_DAYS - 1))
    days = [shown_from + timedelta(days=n) for n in range((last - shown_from).days + 1)]
    shown = [values.get(day, 0) for day in days]
    largest = max(shown)
    heights = [max(LEAST_HEIGHT, HEIGHT * value / largest) if value else 0.0 for value in shown]
    bars = [
        Bar(day, f"{value:,}", n + GAP / 2, HEIGHT - height, 1 - GAP, height)
        for n, (day, value, height) in enumerate(zip(days, shown, heights, strict=True))
    ]
    return Chart(title, bars, f"{largest:,}", sum(day < shown_from for day in values))
