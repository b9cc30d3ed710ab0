"""Rows of the request log as JSON lines or CSV, a page at a time."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from inference.models import InferenceRequest
from inference.request_log.usage_table import csv_cells

PAGE_ROWS, PAGE_CHARS = 2_000, 4_000_000
"""Of a page, which ends with the first row that fills it: a row may have a whole request body."""
CHUNK_ROWS = 50
"""That are in memory besides."""
FORMATS = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
"""With their media types."""
COLUMNS = tuple(field.attname for field in InferenceRequest._meta.concrete_fields)
TEXTS = ("preview", "parameters", "message", "answer", "audit_salt")
"""Those that have, or may quote, what was sent and answered; with the salt, texts that were erased can be guessed."""

Rows = QuerySet[InferenceRequest]


class Export:
    """Oldest first. In CSV, a text that a spreadsheet would take for a formula begins with an apostrophe."""

    def __init__(self, rows: Rows, form: str, *, texts: bool = True) -> None:
        """``form`` is one of ``FORMATS``; without ``texts``, the columns that have texts of requests are left out."""
        self.columns = [name for name in COLUMNS if texts or name not in TEXTS]
        self._form = form
        self._ordered = rows.order_by("received_at", "id").values_list(*self.columns)

    def first(self) -> str:
        """What the first page follows."""
        return _csv_line(self.columns) if self._form == "csv" else ""

    def pages(self) -> Iterator[str]:
        page, after = self.page()
        while page:
            yield page
            page, after = self.page(after)

    def page(self, after: tuple[datetime, int] | None = None) -> tuple[str, tuple[datetime, int]]:
        """The lines after a row, and the last one's place; no line if there is no row.

        By the index of times; no query is held open while a page is sent.
        """
        rows = self._ordered
        if after is not None:
            moment, pk = after
            rows = rows.filter(received_at__gte=moment).filter(Q(received_at__gt=moment) | Q(id__gt=pk))
        lines, chars, row = list[str](), 0, None
        for row in rows[:PAGE_ROWS].iterator(chunk_size=CHUNK_ROWS):
            lines.append(self._line(row))
            chars += len(lines[-1])
            if chars >= PAGE_CHARS:
                break
        if row is None:
            return "", (datetime.max, 0)
        last = dict(zip(self.columns, row, strict=True))
        return "".join(lines), (last["received_at"], last["id"])

    @property
    def _line(self) -> Callable[[Sequence[Any]], str]:
        return _csv_line if self._form == "csv" else self._json_line

    def _json_line(self, row: Sequence[Any]) -> str:
        values = {name: _plain(value) for name, value in zip(self.columns, row, strict=True)}
        return json.dumps(values, ensure_ascii=False) + "\n"


def _csv_line(row: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(csv_cells(map(_plain, row)))
    return line.getvalue()


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
