"""Which rows the list has: counts and dates without scans, and what no index finds among the newest rows only."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from inference.models import InferenceRequest

if TYPE_CHECKING:
    LogPaginator = Paginator[InferenceRequest]
    LogQuerySet = QuerySet[InferenceRequest]
else:  # not subscriptable at run time
    LogPaginator, LogQuerySet = Paginator, QuerySet

NEWEST_ROWS = 50_000
"""In which words are searched, and which are ordered by a column without an index."""
INDEXED_ORDERS = {"received_at", "id", "pk"}


class FastDatesQuerySet(LogQuerySet):
    """Computes the date drill-down from the first and the last row, so it includes periods without rows."""

    def datetimes(self, field_name: str, kind: str, *_: Any, **__: Any) -> list[datetime]:  # type: ignore[override]
        """The start of every ``kind`` (``year``, ``month`` or ``day``) between the first and the last row, in order."""
        times = self.order_by(field_name).values_list(field_name, flat=True)
        first = times.first()
        last = first and times.last()
        if not (first and last):
            return []
        return list(_periods(timezone.localtime(first), timezone.localtime(last), kind))


def _periods(first: datetime, last: datetime, kind: str) -> Iterable[datetime]:
    step = {"day": 1, "month": 31, "year": 366}[kind]
    start = first.replace(hour=0, minute=0, second=0, microsecond=0)
    while start <= last:
        if kind != "day":
            start = start.replace(day=1)
        if kind == "year":
            start = start.replace(month=1)
        yield start
        start += timedelta(days=step)


class AtLeast(int):
    """A lower bound of a count, printed as ``10,000+``."""

    def __str__(self) -> str:
        return f"{int(self):,}+"


class BoundedPaginator(LogPaginator):
    """Counts at most ``LIMIT`` rows; rows beyond are reached by filters and dates, not by paging."""

    LIMIT = 10_000

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[InferenceRequest]", self.object_list)
        counted = rows.order_by().values("pk")[: self.LIMIT + 1].count()
        return counted if counted <= self.LIMIT else AtLeast(self.LIMIT)


class Listing(ChangeList):
    """Orders by a column without an index among the newest of the rows only."""

    oldest_looked_at: datetime | None = None
    """Where rows before it exist and are not looked at."""

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[InferenceRequest]:
        rows: QuerySet[InferenceRequest] = super().get_queryset(request, exclude_parameters)
        self.oldest_looked_at = getattr(request, "oldest_looked_at", None)
        ordered_by = {str(order).lstrip("-") for order in rows.query.order_by}
        if ORDER_VAR in self.params and self.oldest_looked_at is None and not ordered_by <= INDEXED_ORDERS:
            bounded = newest(request, rows)
            self.oldest_looked_at = getattr(request, "oldest_looked_at", None)
            return bounded
        return rows


def newest(request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
    """The newest of the rows; the request is told if there are others."""
    moments = rows.order_by("-received_at").values_list("received_at", flat=True)
    oldest = moments[NEWEST_ROWS - 1 : NEWEST_ROWS].first()
    if oldest is None:
        return rows
    request.oldest_looked_at = oldest  # type: ignore[attr-defined]  # for the page
    return rows.filter(received_at__gte=oldest)
