"""Usage in the Django admin: who has used what, by day, with totals, a chart and an export."""

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html

from inference.admin.chart import Chart, Series, bars
from inference.admin.day_filter import DayFilter
from inference.admin.filters import KeyFilter, OwnerFilter, PipelineFilter
from inference.models import Usage
from inference.request_log import usage_table
from inference.request_log.usage import FIGURES

if TYPE_CHECKING:
    TableAdmin = admin.ModelAdmin[Usage]
else:  # not subscriptable at run time
    TableAdmin = admin.ModelAdmin

EXPORTED = ("day", "owner", "key", "name", "pipeline", *FIGURES)
LABELS = {"model_ms": "model time"}
CHARTS = ("units", "requests")
MOST_DAYS = 92
"""That one chart shows, the newest ones: bars of more days would be thinner than a pixel on a phone."""


def _text(figure: str, value: float) -> str:
    return f"{value / 1000:,.1f} s" if figure == "model_ms" else f"{value:,}"


def _column(figure: str) -> Callable[[Usage], str]:
    @admin.display(ordering=figure, description=LABELS.get(figure, figure))
    def column(row: Usage) -> str:
        return _text(figure, getattr(row, figure))

    column.__name__ = figure  # of the cell's class
    return column


COLUMNS = [_column(figure) for figure in FIGURES]


@admin.register(Usage)
class UsageAdmin(TableAdmin):
    list_display = ("iso_day", "owner", "key_and_name", "pipeline", *COLUMNS)
    list_display_links = None
    list_filter = (DayFilter, OwnerFilter, KeyFilter, PipelineFilter)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    empty_value_display = "–"
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Usage | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Usage | None = None) -> bool:
        return False

    def get_sortable_by(self, request: HttpRequest) -> Any:
        return ("iso_day", *COLUMNS)

    def get_urls(self) -> list[URLPattern]:
        export = path("export/", self.admin_site.admin_view(self.export), name="inference_usage_export")
        return [export, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with what the rows of all its pages come to."""
        response: Any = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None) or {}
        if (listed := context.get("cl")) is not None:
            rows = listed.queryset.order_by()
            days = usage_table.summed(rows, ["day"])
            (total,) = usage_table.summed(rows, [])
            context["labels"] = [LABELS.get(figure, figure) for figure in FIGURES]
            context["totals"] = list(zip(context["labels"], _shown(total), strict=True))
            context["days"] = [(row["day"], _shown(row)) for row in reversed(days)]
            context["charts"] = [made for figure in CHARTS if (made := _chart(figure, days))]
        return response  # type: ignore[no-any-return]

    def export(self, request: HttpRequest) -> HttpResponse:
        """The filtered list as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).get_queryset(request)
        name = f"usage-{datetime.now(UTC):%Y-%m-%d}.csv"
        response = HttpResponse(
            content_type="text/csv; charset=utf-8", headers={"content-disposition": f'attachment; filename="{name}"'}
        )
        writer: Any = csv.writer(response)
        writer.writerow(EXPORTED)
        writer.writerows(map(usage_table.csv_cells, rows.values_list(*EXPORTED).iterator()))
        return response

    @admin.display(ordering="key", description="key")
    def key_and_name(self, row: Usage) -> str:
        return format_html("<code>{}</code><br>{}", row.key, row.name) if row.key else ""

    @admin.display(ordering="day", description="day")
    def iso_day(self, row: Usage) -> str:
        return row.day.isoformat()


def _shown(sums: dict[str, Any]) -> list[str]:
    return [_text(figure, sums[figure]) for figure in FIGURES]


def _chart(figure: str, rows: list[dict[str, Any]]) -> Chart | None:
    """A bar for each day, also for those without usage. ``None`` if all are."""
    values = {row["day"]: row[figure] for row in rows}
    if not values:
        return None
    first, last = min(values), max(values)
    shown_from = max(first, last - timedelta(days=MOST_DAYS - 1))
    days = [shown_from + timedelta(days=n) for n in range((last - shown_from).days + 1)]
    series = Series(figure, [values.get(day, 0) for day in days])
    note = f"the last {MOST_DAYS} days" if shown_from > first else ""
    made = bars(f"{figure.capitalize()} per day", [day.isoformat() for day in days], [series], "{:,.0f}".format)
    return replace(made, note=note)
