"""The filters of the request log."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from inference import errors
from inference.admin.filters import MAX_LISTED
from inference.admin.request_log.addresses import plain_address
from inference.errors import InferenceError

CODES = sorted({one.code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, InferenceError)})
PERIODS = {
    "1h": ("Past hour", timedelta(hours=1)),
    "24h": ("Past 24 hours", timedelta(hours=24)),
    "7d": ("Past 7 days", timedelta(days=7)),
}
USEFUL_CHOICES = 3
"""That a filter has at least: with one value and that for all rows, there is nothing to choose."""
LATEST_ROWS = 500
"""Whose clients are offered."""


class PeriodFilter(admin.SimpleListFilter):
    title = "time"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(value, title) for value, (title, _) in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        period = PERIODS.get(self.value() or "")
        return period and queryset.filter(received_at__gte=datetime.now(UTC) - period[1])


class CodeFilter(admin.SimpleListFilter):
    """By the code of the error. All codes are offered: which of them there are would need a scan."""

    title = parameter_name = "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(code, code) for code in CODES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(code=self.value()) if self.value() else None


class ClientFilter(admin.SimpleListFilter):
    """By any address; offered are those with most of the latest requests."""

    title = parameter_name = "client"
    label = "Address"
    """Of the field for any value."""

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.others = [
            (name, value)
            for name, values in request.GET.lists()
            for value in values
            if name not in (self.parameter_name, PAGE_VAR, ERROR_FLAG)
        ]
        """What the form keeps of the address."""

    def has_output(self) -> bool:
        return True

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        latest = model_admin.model.objects.order_by("-received_at").values_list("client", flat=True)[:LATEST_ROWS]
        clients = Counter(client for client in latest if client)
        return [(client, client) for client, _ in clients.most_common(MAX_LISTED)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if not self.value():
            return None
        address = plain_address(self.value() or "")
        return queryset.filter(client=address) if address else queryset.none()


def shown(listing: ChangeList) -> Iterator[dict[str, Any]]:
    """The filters as the page has them: what each is set to, and its choices."""
    for spec in listing.filter_specs:
        choices = list(spec.choices(listing))
        chosen = [str(choice["display"]) for choice in choices[1:] if choice["selected"]]
        form = spec if isinstance(spec, ClientFilter) else None
        typed = (form and form.value()) or ""
        if form is None and len(choices) < USEFUL_CHOICES and not chosen:
            continue
        yield {"title": spec.title, "choices": choices, "chosen": chosen[0] if chosen else typed, "form": form}
