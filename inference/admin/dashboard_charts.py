"""Tiles and charts of the dashboard."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from django.utils import timezone

from inference.admin.chart import Chart, Series, Values, bars, lines
from inference.admin.shown import duration, number, percent
from inference.request_log.rollup.figures import Figures, Status
from inference.request_log.rollup.quantiles import Counts, quantiles
from inference.request_log.rollup.reading import Step

PARTS = (0.5, 0.95, 0.99)
STATUSES = {Status.OK: ("answered", "c0"), Status.CANCELLED: ("cancelled", "c3"), Status.FAILED: ("failed", "c2"),
            Status.REFUSED: ("refused", "c1")}  # fmt: skip
MOST_CODES = 5
CODE_COLOURS = ("c2", "c1", "c4", "c5", "c0")
OTHER_CODES = "others"
TIMES: dict[str, Callable[[Figures], Counts]] = {
    "Total time": lambda figures: figures.total,
    "Queue time": lambda figures: figures.queue,
    "Inference time": lambda figures: figures.inference,
}


class Tile(NamedTuple):
    label: str
    value: str
    more: str = ""


def tiles(figures: Figures, seconds: float) -> list[Tile]:
    """What all requests of the period came to."""
    requests = figures.requests

    def of(status: Status) -> Tile:
        found = figures.of_status(status)
        return Tile(STATUSES[status][0], number(found), percent(found / requests) if requests else "")

    times = [
        Tile(name, duration(p50), f"p95 {duration(p95)}, p99 {duration(p99)}")
        for name, counts in TIMES.items()
        for p50, p95, p99 in [quantiles(counts(figures), PARTS)]
    ]
    return [
        Tile("requests", number(requests), f"{number(requests / seconds)} per second"),
        *(of(status) for status in (Status.OK, Status.FAILED, Status.REFUSED, Status.CANCELLED)),
        *(Tile(f"{tile.label.lower()}, p50", tile.value, tile.more) for tile in times),
        Tile("units", number(figures.units), f"{number(figures.units / seconds)} per second"),
        Tile("batch size", number(figures.mean_batch_size), "mean of requests"),
        Tile("padding", percent(figures.padding), "of computed tokens"),
    ]


def charts(steps: Sequence[Step], step_s: int) -> list[Chart]:
    labels = _labels(steps)

    def per_second(value: Callable[[Figures], float]) -> Values:
        return [value(step.figures) / step.seconds for step in steps]

    outcomes = [
        Series(name, per_second(lambda figures, status=status: figures.of_status(status)), colour)  # type: ignore[misc]
        for status, (name, colour) in STATUSES.items()
    ]
    units = Series("units", per_second(lambda figures: figures.units))
    sizes = Series("mean", [step.figures.mean_batch_size for step in steps])
    padding = Series("padding", [step.figures.padding for step in steps])
    return [
        bars("Requests per second", labels, outcomes, number),
        replace(bars("Errors by code", labels, _codes(steps), number), note=f"in {_length(step_s)}"),
        *(lines(title, labels, _quantiles(steps, counts), duration) for title, counts in TIMES.items()),
        bars("Units per second", labels, [units], number),
        lines("Batch size", labels, [sizes], number),
        lines("Padding", labels, [padding], percent),
    ]


def _quantiles(steps: Sequence[Step], counts: Callable[[Figures], Counts]) -> list[Series]:
    columns = zip(*(quantiles(counts(step.figures), PARTS) for step in steps), strict=True)
    return [
        Series(f"p{100 * part:g}", list(column), colour)
        for part, column, colour in zip(PARTS, columns, ("c0", "c4", "c1"), strict=True)
    ]


def _codes(steps: Sequence[Step]) -> list[Series]:
    """Requests in each step, of the most frequent codes and of all others together."""
    by_step = [Counter[str]() for _ in steps]
    for step, codes in zip(steps, by_step, strict=True):
        for status, code, count in step.figures.errors():
            codes[code or status] += count
    sums = sum(by_step, Counter[str]())
    frequent = [code for code, _ in sums.most_common(MOST_CODES)]
    series = [
        Series(code, [codes[code] for codes in by_step], colour)
        for code, colour in zip(frequent, CODE_COLOURS, strict=False)
    ]
    others = [codes.total() - sum(codes[code] for code in frequent) for codes in by_step]
    return [*series, Series(OTHER_CODES, others, "c3")] if any(others) or not series else series


def _labels(steps: Sequence[Step]) -> list[str]:
    """When each began, in the time zone of the admin; with the day if they are of several."""
    moments = [timezone.localtime(datetime.fromtimestamp(step.start, UTC)) for step in steps]
    with_day = moments[0].date() != moments[-1].date()
    return [f"{moment:%d %b %H:%M}" if with_day else f"{moment:%H:%M}" for moment in moments]


def _length(seconds: int) -> str:
    minutes, hours = seconds // 60, seconds // 3600
    return f"{hours} hours" if hours else "a minute" if minutes == 1 else f"{minutes} minutes"
