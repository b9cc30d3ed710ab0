"""Filters of large tables: their values are looked up, never counted."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

MAX_LISTED = 20
"""Values in a filter."""


class IndexedFilter(admin.SimpleListFilter):
    """By the values of a column that begins an index."""

    parameter_name: str
    """Name of the column."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """One index lookup per value; ``SELECT DISTINCT`` would scan the whole index."""
        column, values = self.parameter_name, list[str]()
        ordered = model_admin.model.objects.order_by(column).values_list(column, flat=True)
        value = ordered.first()
        while value is not None and len(values) < MAX_LISTED:
            values.append(value)
            value = ordered.filter(**{f"{column}__gt": value}).first()
        return [(value, value or "(none)") for value in values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return None if self.value() is None else queryset.filter(**{self.parameter_name: self.value()})


class PipelineFilter(IndexedFilter):
    title = parameter_name = "pipeline"


class VersionFilter(IndexedFilter):
    title = parameter_name = "version"


class OwnerFilter(IndexedFilter):
    title = parameter_name = "owner"


class KeyFilter(IndexedFilter):
    title = parameter_name = "key"
