"""What the dashboard reads of roll-ups: few rows, whatever the period, and never one of the request log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet, Sum

from inference.models import RollUp
from inference.request_log.rollup.cube import DAY, HOUR, MINUTE
from inference.request_log.rollup.figures import Figures, decode, total

DIMENSIONS = ("pipeline", "key", "dialect")
MOST_PARTS = 20
"""That a break-down lists, those with the most requests."""
MOST_CHOICES = 500

Chosen = Mapping[str, str]
"""Values by dimension; of the dimensions that are not in it, all."""


@dataclass(frozen=True, slots=True)
class Period:
    """It begins at a whole span of its parts, so it is up to one longer than it says, and ends now."""

    title: str
    seconds: int
    step_s: int
    """Of a point of a chart."""
    rows: int
    """Span of the rows that charts are made of."""
    parts: int
    """Span of the rows that break-downs are made of."""

    def start(self, now: float) -> int:
        return int(now) // self.parts * self.parts - self.seconds


PERIODS = {
    "1h": Period("1 hour", HOUR, MINUTE, rows=MINUTE, parts=MINUTE),
    "6h": Period("6 hours", 6 * HOUR, 5 * MINUTE, rows=MINUTE, parts=HOUR),
    "24h": Period("24 hours", DAY, 30 * MINUTE, rows=MINUTE, parts=HOUR),
    "7d": Period("7 days", 7 * DAY, 3 * HOUR, rows=HOUR, parts=DAY),
    "30d": Period("30 days", 30 * DAY, 12 * HOUR, rows=HOUR, parts=DAY),
}


@dataclass(frozen=True, slots=True)
class Step:
    """A point of a chart."""

    start: int
    seconds: float
    """The last one is as long as it has lasted."""
    figures: Figures


def steps(period: Period, chosen: Chosen, now: float) -> list[Step]:
    """Without gaps, in order."""
    first, length = period.start(now), period.step_s
    sums = [Figures() for _ in range(first, int(now) + 1, length)]
    for start, data in _rows(period.rows, first, now, chosen).values_list("start", "figures").iterator():
        sums[(start - first) // length].update(decode(data))
    starts = [first + number * length for number in range(len(sums))]
    return [Step(at, max(1.0, min(length, now - at)), figures) for at, figures in zip(starts, sums, strict=True)]


@dataclass(frozen=True, slots=True)
class Part:
    """What the requests of one pipeline, key or dialect came to."""

    name: str
    figures: Figures


def parts(period: Period, dimension: str, chosen: Chosen, now: float) -> tuple[list[Part], int]:
    """Those with the most requests first, and how many are not among them. What is chosen of it does not count."""
    rows = _rows(period.parts, period.start(now), now, chosen, but=dimension).exclude(**{dimension: RollUp.ALL})
    by_requests = rows.order_by().values_list(dimension).annotate(number=Sum("requests")).order_by("-number", dimension)
    names = [name for name, _ in by_requests]
    found: dict[str, list[Figures]] = {name: [] for name in names[:MOST_PARTS]}
    for name, data in rows.filter(**{f"{dimension}__in": list(found)}).values_list(dimension, "figures").iterator():
        found[name].append(decode(data))
    return [Part(name, total(iter(several))) for name, several in found.items()], len(names) - len(found)


def choices(dimension: str, now: float) -> Sequence[str]:
    """Values that any request of the last 30 days had."""
    rows = _rows(DAY, PERIODS["30d"].start(now), now, {}, but=dimension).exclude(**{dimension: RollUp.ALL})
    return list(rows.order_by(dimension).values_list(dimension, flat=True).distinct()[:MOST_CHOICES])


def _rows(span: int, first: int, now: float, chosen: Chosen, but: str = "") -> "QuerySet[RollUp]":
    """From a moment until now, whatever the clocks of web processes have said; of all values of one dimension."""
    where: dict[str, Any] = {name: chosen.get(name, RollUp.ALL) for name in DIMENSIONS if name != but}
    return RollUp.objects.filter(span=span, start__range=(first, int(now)), **where)
