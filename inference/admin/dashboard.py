"""The dashboard in the Django admin: how many requests, how slow, what failed; by pipeline, key and dialect.

All of it is read from roll-ups, never from rows of the request log.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from inference.admin.dashboard_charts import PARTS, charts, tiles
from inference.admin.shown import duration, number, percent
from inference.models import ApiKey, RollUp
from inference.request_log.rollup import reading
from inference.request_log.rollup.figures import Figures, Status, total
from inference.request_log.rollup.quantiles import quantiles
from inference.request_log.rollup.reading import DIMENSIONS, PERIODS, Part, Period

if TYPE_CHECKING:
    DashboardBase = admin.ModelAdmin[RollUp]
else:  # not subscriptable at run time
    DashboardBase = admin.ModelAdmin

DEFAULT_PERIOD = "24h"
UNNAMED = {"pipeline": "(not known)", "key": "(no key)", "dialect": "(none or several)"}
COLUMNS = (
    "requests", "per second", "failed", "refused", "total p50", "p95", "p99", "queue p95", "inference p95",
    "units per second", "batch size", "padding",
)  # fmt: skip


class Choice(NamedTuple):
    value: str
    label: str
    chosen: bool


class Filter(NamedTuple):
    name: str
    choices: list[Choice]


class Row(NamedTuple):
    label: str
    query: str
    """Of the page about it alone."""
    chosen: bool
    cells: list[str]


class Breakdown(NamedTuple):
    dimension: str
    rows: list[Row]
    left_out: int


class Asked:
    """What the address of the page asks for; anything else in it is ignored."""

    def __init__(self, given: Mapping[str, str]) -> None:
        name = given.get("period", "")
        self.period_name = name if name in PERIODS else DEFAULT_PERIOD
        self.chosen = {name: given[name] for name in DIMENSIONS if given.get(name, RollUp.ALL) != RollUp.ALL}

    @property
    def period(self) -> Period:
        return PERIODS[self.period_name]

    def query(self, **changed: str) -> str:
        return "?" + urlencode({"period": self.period_name} | self.chosen | changed)


@admin.register(RollUp)
class DashboardAdmin(DashboardBase):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: RollUp | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: RollUp | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """No page of a row: what it has is not for people."""
        return [path("", self.admin_site.admin_view(self.changelist_view), name="inference_rollup_changelist")]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Dashboard"}
        context |= _context(Asked(request.GET.dict()), time.time()) | (extra_context or {})
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/inference/rollup/dashboard.html", context)


def _context(asked: Asked, now: float) -> dict[str, Any]:
    period, chosen = asked.period, asked.chosen
    steps = reading.steps(period, chosen, now)
    figures = total(step.figures for step in steps)
    seconds = now - steps[0].start
    names = _names_of_keys()
    return {
        "since": timezone.localtime(datetime.fromtimestamp(steps[0].start, UTC)),
        "periods": [Choice(asked.query(period=name), p.title, p is period) for name, p in PERIODS.items()],
        "period_name": asked.period_name,
        "filtered": bool(chosen),
        "filters": [_filter(dimension, asked, names, now) for dimension in DIMENSIONS],
        "tiles": tiles(figures, seconds),
        "charts": charts(steps, period.step_s) if figures.requests else [],
        "errors": [
            (Status(status).label, code, number(count), percent(count / figures.requests))
            for status, code, count in figures.errors()
        ],
        "columns": COLUMNS,
        "breakdowns": [_breakdown(dimension, asked, names, now) for dimension in DIMENSIONS],
    }


def _names_of_keys() -> dict[str, str]:
    rows = ApiKey.objects.values_list("prefix", "owner", "name")
    return {prefix: f"{owner}: {name} ({prefix})" for prefix, owner, name in rows}


def _label(dimension: str, value: str, names: Mapping[str, str]) -> str:
    if not value:
        return UNNAMED[dimension]
    return names.get(value, value) if dimension == "key" else value


def _filter(dimension: str, asked: Asked, names: Mapping[str, str], now: float) -> Filter:
    chosen = asked.chosen.get(dimension)
    values = list(reading.choices(dimension, now))
    if chosen is not None and chosen not in values:
        values.append(chosen)
    listed = [Choice(value, _label(dimension, value, names), value == chosen) for value in values]
    return Filter(dimension, [Choice(RollUp.ALL, "all", chosen is None), *listed])


def _breakdown(dimension: str, asked: Asked, names: Mapping[str, str], now: float) -> Breakdown:
    seconds = now - asked.period.start(now)
    parts, left_out = reading.parts(asked.period, dimension, asked.chosen, now)
    return Breakdown(dimension, list(_rows(dimension, parts, asked, names, seconds)), left_out)


def _rows(
    dimension: str, parts: Iterable[Part], asked: Asked, names: Mapping[str, str], seconds: float
) -> Iterable[Row]:
    for part in parts:
        chosen = asked.chosen.get(dimension) == part.name
        other = RollUp.ALL if chosen else part.name
        label = _label(dimension, part.name, names)
        yield Row(label, asked.query(**{dimension: other}), chosen, _cells(part.figures, seconds))


def _cells(figures: Figures, seconds: float) -> list[str]:
    """One for each of ``COLUMNS``."""
    return [
        number(figures.requests),
        number(figures.requests / seconds),
        number(figures.of_status(Status.FAILED)),
        number(figures.of_status(Status.REFUSED)),
        *map(duration, quantiles(figures.total, PARTS)),
        *map(duration, quantiles(figures.queue, [0.95])),
        *map(duration, quantiles(figures.inference, [0.95])),
        number(figures.units / seconds),
        number(figures.mean_batch_size),
        percent(figures.padding),
    ]
