"""The pages of the request log: the list, one request, its repetition, and the export."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache

from inference.admin.filters import KeyFilter, OwnerFilter, PipelineFilter, VersionFilter
from inference.admin.request_log import detail, export, run_again, search
from inference.admin.request_log.cells import PREVIEW_CHARS, Cells, duration
from inference.admin.request_log.filters import ClientFilter, CodeFilter, PeriodFilter, shown
from inference.admin.request_log.listing import NEWEST_ROWS, BoundedPaginator, FastDatesQuerySet, Listing
from inference.models import InferenceRequest
from inference.request_log.export import FORMATS, Export

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

LONG_TEXTS = ("preview", "message", "parameters", "answer")
FILTERED = {
    "status", "code", "period", "pipeline", "version", "client", "owner", "key", "transport", "received_at",
}  # fmt: skip
"""What an address of the list may filter by: what the page offers."""


def _sees_inputs(request: HttpRequest) -> bool:
    return request.user.has_perm("inference.view_inputs")


def _may_run(request: HttpRequest) -> bool:
    """It shows what was asked and answered."""
    return _sees_inputs(request) and request.user.has_perm("inference.run_again")


@admin.register(InferenceRequest)
class InferenceRequestAdmin(Cells):
    list_display = ("received", "short_id", "outcome", "asked", "caller", "batch", "queue", "inference", "total")
    list_display_links = ("received", "short_id")
    list_filter = (
        "status", CodeFilter, PeriodFilter, PipelineFilter, VersionFilter, ClientFilter, OwnerFilter, KeyFilter,
        "transport",
    )  # fmt: skip
    list_per_page = 50
    sortable_by = ("received", "queue", "inference", "total")
    date_hierarchy = "received_at"
    search_fields = ("preview",)
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    empty_value_display = "–"
    actions = None
    fields = readonly_fields = ("request_id",)

    # What may be done

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: InferenceRequest | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: InferenceRequest | None = None) -> bool:
        return False

    # The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[InferenceRequest]:
        """Without the long texts, which may be whole request bodies; the detail page loads them for its row."""
        rows = FastDatesQuerySet(self.model).defer(*LONG_TEXTS)
        return rows.annotate(beginning=Left("preview", PREVIEW_CHARS + 1))

    def get_changelist(self, request: HttpRequest, **_: Any) -> "type[ChangeList]":
        return Listing

    def get_list_display(self, request: HttpRequest) -> Any:
        """Whoever may not see inputs does not see them here either."""
        hidden = {} if _sees_inputs(request) else {"asked": "pipeline_only"}
        return [hidden.get(str(column), column) for column in self.list_display]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Any other, such as ``preview__startswith``, would tell what an input says, and scan the table."""
        return lookup.partition("__")[0] in FILTERED

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """A search of texts would tell what an input says."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if (found := search.looked_up(queryset, term)) is not None:
            return found, False
        return search.in_texts(request, queryset, term.split()) if _sees_inputs(request) else queryset.none(), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: Any = super().changelist_view(request, {"title": "Request log", **(extra_context or {})})
        context = getattr(response, "context_data", None) or {}
        if (listing := context.get("cl")) is not None:
            words = "; or words of an input or answer" if _sees_inputs(request) else ""
            listing.search_help_text = f"{search.HELP}{words}."
            context["filters"] = list(shown(listing))
            context["newest"] = f"{NEWEST_ROWS:,}"
            context["exports"] = [(form, self._address("export", form)) for form in FORMATS]
        return response  # type: ignore[no-any-return]

    # One request

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> InferenceRequest | None:
        """With the long texts."""
        row: InferenceRequest | None = super().get_object(request, object_id, from_field)
        if row is not None:
            row.refresh_from_db(fields=LONG_TEXTS)
        return row

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        row: InferenceRequest = context["original"]
        context |= detail.context(row, self.admin_site.name, texts=_sees_inputs(request))
        if _may_run(request):
            context["run_again"] = self._address("run_again", row.pk)
            context["why_not"] = run_again.why_not(row)
        return super().render_change_form(request, context, *args, **options)

    # Other pages

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, "inference_inferencerequest"
        return [
            path("export/<str:form>/", view(self.export_view), name=f"{name}_export"),
            path("<path:object_id>/again/", view(never_cache(self.run_again_view)), name=f"{name}_run_again"),
            *super().get_urls(),
        ]

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """The filtered list as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if form not in FORMATS:
            raise Http404
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:  # of which the list says that it shows all
            return HttpResponseBadRequest("This address filters by something that is no value.\n", "text/plain")
        return export.response(request, Export(rows, form, texts=_sees_inputs(request)), form)

    def run_again_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not (self.has_view_permission(request, row) and _may_run(request)):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        context: dict[str, Any] = {"row": row, "why_not": run_again.why_not(row)}
        if not context["why_not"]:
            self._run(request, row, context)
        common = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Run again"}
        common |= {"list": self._address("changelist"), "back": self._address("change", row.pk)}
        return TemplateResponse(request, "admin/inference/inferencerequest/run_again.html", common | context)

    def _run(self, request: HttpRequest, row: InferenceRequest, context: dict[str, Any]) -> None:
        """Once, and that it was is in the admin's history."""
        try:
            second = run_again.run(row)
        except run_again.CannotServe as error:
            context["why_not"] = f"This process cannot serve: {error}"
            return
        self.log_change(request, row, f"Run again as {second.request_id}.")
        first = run_again.first(row)
        left, right = run_again.compared(first, second)
        context |= {
            "sides": [("First", first, left), ("Again", second, right)],
            "verdict": run_again.verdict(first, second),
            "times": [
                (name, duration(one), duration(other))
                for name, one, other in (
                    ("Queue", first.queue_ms, second.queue_ms),
                    ("Model", first.inference_ms, second.inference_ms),
                    ("Total", first.total_ms, second.total_ms),
                )
            ],
        }

    def _address(self, page: str, *args: Any) -> str:
        return reverse(f"admin:inference_inferencerequest_{page}", args=args, current_app=self.admin_site.name)
