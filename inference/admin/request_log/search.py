"""The search of the request log: what has an index is looked up, anything else is looked for in texts of new rows."""

import re
from collections.abc import Iterator
from typing import Any

from django.db import connections
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from inference.admin.request_log.addresses import plain_address
from inference.admin.request_log.filters import CODES
from inference.admin.request_log.listing import newest

HEXADECIMAL = re.compile(r"[0-9a-f]{32}")
"""A trace id, and a request id that we made."""
BEGINNING = re.compile(r"[A-Za-z0-9._-]{8,63}")
"""Of a request id: the list shows as much."""
HELP = "Request id (x-request-id of an answer) or its beginning, trace id, address of a client, or code of an error"


def looked_up(rows: QuerySet[Any], term: str) -> QuerySet[Any] | None:
    """The rows that have it as an id, address or code; ``None`` if none has, and it may be a word."""
    for condition in _conditions(term, connections[rows.db].vendor):
        found = rows.filter(condition)
        if found.exists():
            return found
    return rows.none() if HEXADECIMAL.fullmatch(term) else None


def in_texts(request: HttpRequest, rows: QuerySet[Any], words: list[str]) -> QuerySet[Any]:
    """The newest rows with all the words in their input or answer."""
    rows = newest(request, rows)
    for word in words:
        rows = rows.filter(Q(preview__icontains=word) | Q(answer__icontains=word))
    return rows


def _conditions(term: str, vendor: str) -> Iterator[Q]:
    yield Q(request_id=term)
    if BEGINNING.fullmatch(term):
        begins = Q(request_id__startswith=term)
        # Its LIKE ignores the index, which is ordered by bytes; the one of PostgreSQL has an index of its own.
        yield begins & Q(request_id__range=(term, f"{term}~")) if vendor == "sqlite" else begins
    if HEXADECIMAL.fullmatch(term):
        yield Q(trace_id=term)
    if address := plain_address(term):
        yield Q(client=address)
    if term in CODES:
        yield Q(code=term)
