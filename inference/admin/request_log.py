"""The request log in the Django admin: read-only, and fast with a million rows.

Every query of the list uses an index or a limit. Django's own date drill-down, count and all-values filter scan
the whole table for every page (on SQLite the first alone takes 3 s per million rows).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from inference import conf
from inference.admin.filters import KeyFilter, OwnerFilter, PipelineFilter, VersionFilter
from inference.models import InferenceRequest

if TYPE_CHECKING:
    LogAdmin = admin.ModelAdmin[InferenceRequest]
    LogPaginator = Paginator[InferenceRequest]
    LogQuerySet = QuerySet[InferenceRequest]
else:  # not subscriptable at run time
    LogAdmin, LogPaginator, LogQuerySet = admin.ModelAdmin, Paginator, QuerySet

PREVIEW_CHARS = 30
INPUT_FIELDS = ("preview", "message")
PERIODS = {
    "1h": ("Past hour", timedelta(hours=1)),
    "24h": ("Past 24 hours", timedelta(hours=24)),
    "7d": ("Past 7 days", timedelta(days=7)),
}


def _sees_inputs(request: HttpRequest) -> bool:
    return request.user.has_perm("inference.view_inputs")


def duration(ms: float | None) -> str:
    """A readable time: ``3.1 ms``, ``1.24 s``; a dash for ``None``."""
    if ms is None:
        return "–"
    return one_line(f"{ms:.1f} ms" if ms < 999.95 else f"{ms / 1000:.2f} s")


def one_line(text: str) -> str:
    """The text with no-break spaces, so that a row of the list is one line high."""
    return "\N{NO-BREAK SPACE}".join(text.split())


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


class PeriodFilter(admin.SimpleListFilter):
    title = "time"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(value, title) for value, (title, _) in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        period = PERIODS.get(self.value() or "")
        return period and queryset.filter(received_at__gte=datetime.now(UTC) - period[1])


@admin.register(InferenceRequest)
class InferenceRequestAdmin(LogAdmin):
    list_display = (
        "received",
        "short_id",
        "transport",
        "client",
        "caller",
        "short_pipeline",
        "inputs",
        "short_preview",
        "outcome",
        "batch_size",
        "queue",
        "inference",
        "total",
        "times",
    )
    list_display_links = ("received", "short_id")
    list_filter = ("status", "transport", OwnerFilter, KeyFilter, PipelineFilter, VersionFilter, PeriodFilter)
    list_per_page = 50
    sortable_by = ("received", "queue", "inference", "total")
    date_hierarchy = "received_at"
    search_fields = ("request_id", "preview")
    search_help_text = "Request id (the header x-request-id of an answer) or words of the first input."
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    empty_value_display = "–"
    actions = None
    fieldsets = (
        ("Request", {"fields": ("request_id", "received", "transport", "dialect", "client", "inputs", "preview")}),
        ("Caller", {"fields": ("owner", "key")}),
        ("Answer", {"fields": ("status", "code", "message", "count")}),
        ("Inference", {"fields": ("pipeline", "version", "worker", "batch_size", "times_sent", "units")}),
        ("Times", {"fields": ("queue", "inference", "model_share", "total")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: InferenceRequest | None = None) -> Any:
        """Whoever may not see inputs sees no messages either, which may quote one."""
        if _sees_inputs(request):
            return self.fieldsets
        return [
            (name, {"fields": tuple(f for f in options["fields"] if f not in INPUT_FIELDS)})
            for name, options in self.fieldsets
        ]

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """A search would tell what an input says."""
        return self.search_fields if _sees_inputs(request) else ("request_id__exact",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: InferenceRequest | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: InferenceRequest | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[InferenceRequest]:
        """Without the long texts, which may be whole request bodies; the detail page loads them for its row."""
        rows = FastDatesQuerySet(self.model).defer("preview", "message", "parameters", "answer")
        return rows.annotate(beginning=Left("preview", PREVIEW_CHARS + 1))

    def get_list_display(self, request: HttpRequest) -> Any:
        """Without inputs for those who may not see them, and without the caller where nobody has a key."""
        hidden = {"short_preview": not _sees_inputs(request), "caller": conf.current().access != "keys"}
        return [column for column in self.list_display if not hidden.get(str(column))]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Look up an exact request id by its index instead of searching the previews."""
        by_id = queryset.filter(request_id=search_term.strip())
        if search_term.strip() and by_id.exists():
            return by_id, False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(ordering="received_at", description="received at")
    def received(self, row: InferenceRequest) -> str:
        return f"{timezone.localtime(row.received_at):%Y-%m-%d %H:%M:%S.%f}"[:-3]

    @admin.display(description="request id")
    def short_id(self, row: InferenceRequest) -> str:
        return format_html('<span title="{}">{}</span>', row.request_id, row.request_id[:8])

    @admin.display(description="caller")
    def caller(self, row: InferenceRequest) -> str:
        return format_html('<span title="key {}">{}</span>', row.key, row.owner) if row.key else ""

    @admin.display(description="pipeline")
    def short_pipeline(self, row: InferenceRequest) -> str:
        """The end of a long name, which distinguishes models in one folder."""
        return row.pipeline if len(row.pipeline) <= PREVIEW_CHARS else "…" + row.pipeline[-PREVIEW_CHARS:]

    @admin.display(description="preview")
    def short_preview(self, row: InferenceRequest) -> str:
        beginning: str = row.beginning  # type: ignore[attr-defined]
        return one_line(beginning if len(beginning) <= PREVIEW_CHARS else beginning[:PREVIEW_CHARS] + "…")

    @admin.display(description="status")
    def outcome(self, row: InferenceRequest) -> str:
        return one_line(f"{row.get_status_display()}: {row.code}" if row.code else row.get_status_display())

    @admin.display(ordering="queue_ms")
    def queue(self, row: InferenceRequest) -> str:
        return duration(row.queue_ms)

    @admin.display(ordering="inference_ms")
    def inference(self, row: InferenceRequest) -> str:
        return duration(row.inference_ms)

    @admin.display(ordering="model_ms", description="share of the model's time")
    def model_share(self, row: InferenceRequest) -> str:
        return duration(row.model_ms)

    @admin.display(ordering="total_ms")
    def total(self, row: InferenceRequest) -> str:
        return duration(row.total_ms)

    @admin.display(description="count")
    def times(self, row: InferenceRequest) -> str:
        return f"×{row.count}" if row.count > 1 else ""
