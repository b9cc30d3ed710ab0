"""``manage.py usage``: what callers have used."""

import csv
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from inference.management.commands.pipelines import table
from inference.models import Usage
from inference.request_log.usage import FIGURES
from inference.request_log.usage_table import csv_cells, summed

DAYS = 30
MOST_NAMED = 20
GROUPS = {"owner": ("owner",), "key": ("owner", "key", "name"), "pipeline": ("pipeline",), "day": ("day",)}
"""Columns by what ``--by`` names."""


class Command(BaseCommand):
    help = (
        "Lists what callers have used, by key: requests, inputs of those that were answered, units (tokens, images, "
        "seconds of recordings), milliseconds of the model, and how many requests were refused, failed or cancelled."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", type=_day, metavar="DAY", help=f"first day in UTC; default: {DAYS} days ago")
        parser.add_argument("--to", type=_day, metavar="DAY", help="last day; default: today")
        parser.add_argument("--owner", help="of this owner")
        parser.add_argument("--key", metavar="PREFIX", help="of the key with this prefix")
        parser.add_argument("--pipeline", help="of this pipeline")
        parser.add_argument(
            "--by", choices=GROUPS, action="append", help="one line for each; may be given several times; default: key"
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--csv", action="store_true", help="as CSV")
        form.add_argument("--json", action="store_true", help="as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        columns = list(dict.fromkeys(column for by in options["by"] or ["key"] for column in GROUPS[by]))
        found = summed(_selected(options), columns)
        if options["json"]:
            self.stdout.write(msgspec.json.encode(found).decode())
        elif options["csv"]:
            writer: Any = csv.writer(self.stdout, lineterminator="\n")
            writer.writerow([*columns, *FIGURES])
            writer.writerows(csv_cells(row.values()) for row in found)
        else:
            self._print(columns, found)

    def _print(self, columns: Sequence[str], found: Sequence[dict[str, Any]]) -> None:
        if not found:
            self.stdout.write("Nothing was used.")
            return
        heads = [name.upper().replace("_", " ") for name in (*columns, *FIGURES)]
        total = ["TOTAL", *[""] * (len(columns) - 1), *(sum(row[figure] for row in found) for figure in FIGURES)]
        for line in table(
            [heads, *([_cell(value) for value in (*row.values(),)] for row in found), [*map(_cell, total)]]
        ):
            self.stdout.write(line)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day; give one such as 2026-11-27") from None


def _selected(options: dict[str, Any]) -> "QuerySet[Usage]":
    today = datetime.now(UTC).date()
    last: date = options["to"] or today
    first: date = options["from"] or min(last, today) - timedelta(days=DAYS - 1)
    if first > last:
        raise CommandError(f"--from is {first} and --to is {last}; the first day comes first.")
    rows = Usage.objects.filter(day__range=(first, last))
    for column in ("owner", "key", "pipeline"):
        if (wanted := options[column]) is not None:
            _check_known(column, wanted)
            rows = rows.filter(**{column: wanted})
    return rows


def _check_known(column: str, wanted: str) -> None:
    """Otherwise a slip of the pen would look like nothing used."""
    known = Usage.objects.order_by(column).values_list(column, flat=True).distinct()
    if wanted not in known:
        names = ", ".join(filter(None, known[:MOST_NAMED])) or "none yet"
        raise CommandError(f"There is no usage of {column} {wanted!r}; there is usage of: {names}.")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
