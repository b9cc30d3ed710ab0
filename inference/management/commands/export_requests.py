"""``manage.py export_requests``: rows of the request log as JSON lines or CSV."""

import csv
import io
import json
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Q, QuerySet

from inference.management import chosen_rows, period
from inference.models import InferenceRequest
from inference.request_log.usage_table import csv_cells

PAGE_ROWS = 2_000
COLUMNS = [field.attname for field in InferenceRequest._meta.concrete_fields]

Rows = QuerySet[InferenceRequest]


class Command(BaseCommand):
    help = (
        "Writes rows of the request log to the standard output, oldest first. In CSV, a text that a spreadsheet would "
        "take for a formula begins with an apostrophe."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        period.add_arguments(parser)
        chosen_rows.add_arguments(parser)
        parser.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: %(default)s")

    def handle(self, *_: Any, **options: Any) -> None:
        rows = chosen_rows.rows(options)
        if options["since"]:
            rows = rows.filter(received_at__gte=options["since"])
        if options["until"]:
            rows = rows.filter(received_at__lte=options["until"])
        as_line = _csv_line if options["format"] == "csv" else _json_line
        if options["format"] == "csv":
            self.stdout.write(_csv_line(COLUMNS), ending="")
        for page in _pages(rows):
            self.stdout.write("".join(as_line(row) for row in page), ending="")


def _pages(rows: Rows) -> Iterator[Sequence[tuple[Any, ...]]]:
    """By the index of times; no query is held open while a page is written."""
    ordered = rows.order_by("received_at", "id").values_list(*COLUMNS)
    at_time, at_id = COLUMNS.index("received_at"), COLUMNS.index("id")
    page = list(ordered[:PAGE_ROWS])
    while page:
        yield page
        moment, pk = page[-1][at_time], page[-1][at_id]
        after = ordered.filter(received_at__gte=moment).filter(Q(received_at__gt=moment) | Q(id__gt=pk))
        page = list(after[:PAGE_ROWS])


def _json_line(row: Sequence[Any]) -> str:
    return (
        json.dumps({name: _plain(value) for name, value in zip(COLUMNS, row, strict=True)}, ensure_ascii=False) + "\n"
    )


def _csv_line(row: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(csv_cells(map(_plain, row)))
    return line.getvalue()


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
