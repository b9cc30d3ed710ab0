"""A filter by a range of days: usual ranges, and any by two dates."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

FROM, TO = "day__gte", "day__lte"


class DayFilter(admin.ListFilter):
    title = "day"
    template = "admin/inference/day_filter.html"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.used_parameters.update(
            {name: params.pop(name)[-1] for name in self.expected_parameters() if name in params}
        )
        self.others = [
            (name, value)
            for name, values in request.GET.lists()
            for value in values
            if name not in (FROM, TO, PAGE_VAR, ERROR_FLAG)
        ]
        """What the form keeps of the address."""

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [FROM, TO]

    @property
    def first(self) -> str:
        return self._given(FROM)

    @property
    def last(self) -> str:
        return self._given(TO)

    def _given(self, name: str) -> str:
        """Empty where there is none, or no date."""
        try:
            return date.fromisoformat(str(self.used_parameters.get(name, ""))).isoformat()
        except ValueError:
            return ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        asked = {name: value for name in (FROM, TO) if (value := self._given(name))}
        return queryset.filter(**asked)

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        for display, (first, last) in _ranges(datetime.now(UTC).date()).items():
            wanted = {FROM: first and first.isoformat(), TO: last and last.isoformat()}
            yield {
                "selected": (self.first, self.last) == (wanted[FROM] or "", wanted[TO] or ""),
                "query_string": changelist.get_query_string(
                    {name: value for name, value in wanted.items() if value},
                    [name for name, value in wanted.items() if not value],
                ),
                "display": display,
            }


def _ranges(today: date) -> dict[str, tuple[date | None, date | None]]:
    this_month = today.replace(day=1)
    before = this_month - timedelta(days=1)
    return {
        "Any day": (None, None),
        "Today": (today, today),
        "Past 7 days": (today - timedelta(days=6), today),
        "This month": (this_month, today),
        "Last month": (before.replace(day=1), before),
    }
