"""The table of usage: how several processes add to it, and its sums."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from django.db import connections
from django.db.models import F, QuerySet, Sum

from inference.models import Usage
from inference.request_log.usage import FIGURES

IDENTITY = ("day", "key", "pipeline")
LABELS = ("name", "owner")
"""As they were last."""
COLUMNS = (*IDENTITY, *LABELS, *FIGURES)
ROWS_PER_STATEMENT = 50
"""SQLite takes 999 parameters, by Django's count."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Some take the wide signs for the others."""
TOTAL = "total_"
"""Sums cannot have the names of columns in a query."""


def add(rows: Sequence[Usage], database: str) -> None:
    """Add to what is there, whatever other processes add at the same time. Call it in a transaction."""
    features = connections[database].features
    if features.supports_update_conflicts_with_target:
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            _upsert(rows[start : start + ROWS_PER_STATEMENT], database)
        return
    for row in rows:
        known, _ = Usage.objects.using(database).get_or_create(**{column: getattr(row, column) for column in IDENTITY})
        changes = {column: getattr(row, column) for column in LABELS}
        changes |= {figure: F(figure) + getattr(row, figure) for figure in FIGURES}
        Usage.objects.using(database).filter(pk=known.pk).update(**changes)


def _upsert(rows: Sequence[Usage], database: str) -> None:
    """One statement: Django's ``bulk_create`` replaces what is there."""
    connection = connections[database]
    quote = connection.ops.quote_name
    table = quote(Usage._meta.db_table)
    changes = [f"{quote(label)} = excluded.{quote(label)}" for label in LABELS]
    changes += [f"{quote(figure)} = {table}.{quote(figure)} + excluded.{quote(figure)}" for figure in FIGURES]
    marks = f"({', '.join(['%s'] * len(COLUMNS))})"
    sql = (
        f"INSERT INTO {table} ({', '.join(map(quote, COLUMNS))}) VALUES {', '.join([marks] * len(rows))} "  # noqa: S608
        f"ON CONFLICT ({', '.join(map(quote, IDENTITY))}) DO UPDATE SET {', '.join(changes)}"
    )
    values = [
        connection.ops.adapt_datefield_value(row.day) if column == "day" else getattr(row, column)
        for row in rows
        for column in COLUMNS
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def summed(rows: "QuerySet[Usage]", columns: Sequence[str]) -> list[dict[str, Any]]:
    """The figures of these rows for each combination of values of the columns, in order; without columns, of all."""
    sums = {f"{TOTAL}{figure}": Sum(figure, default=0) for figure in FIGURES}
    found = [rows.aggregate(**sums)] if not columns else rows.order_by(*columns).values(*columns).annotate(**sums)
    return [{name.removeprefix(TOTAL): value for name, value in row.items()} for row in found]


def used_today(day: date | None = None) -> dict[str, int]:
    """Units by prefix of the key, as far as they have been written; without a day, of today in UTC."""
    rows = Usage.objects.filter(day=day or datetime.now(UTC).date()).exclude(key="")
    return dict(rows.order_by("key").values_list("key").annotate(Sum("units")))


def csv_cells(values: Iterable[Any]) -> list[Any]:
    """For a spreadsheet, which would compute a text that begins like a formula."""
    return [f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value for value in values]
