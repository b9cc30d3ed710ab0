"""Merges the deltas of all web processes into the rows of roll-ups, and deletes rows that no page shows any more."""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import islice

from django.db import connections, router, transaction
from django.db.models import F

from inference.models import RollUp, RollUpDelta
from inference.request_log.rollup.counter import RollUpCounter
from inference.request_log.rollup.cube import DAY, HOUR, MINUTE, Cell, Cells, Slot, cube
from inference.request_log.rollup.figures import Figures, decode, encode

logger = logging.getLogger(__name__)

INTERVAL_S = 10.0
"""So much are the pages behind the log."""
SHARE = 0.02
"""Of a core, at most, that merging takes: after a long merge the next one waits longer."""
SHARE_BEHIND = 0.2
"""The same while it does not keep up, so that deltas do not grow without end."""
RUN_S = 1.0
"""After which it goes on later: meanwhile the log is not written, and its buffer is bounded."""
PRUNE_S = 600.0
KEPT = {MINUTE: timedelta(hours=26), HOUR: timedelta(days=32), DAY: timedelta(days=32)}
"""A little longer than the longest period that is shown in rows of this span."""
MOST_DELTAS = 500
"""In one transaction: SQLite takes 999 parameters, by Django's count."""
MOST_SUMS = 300
"""In one transaction, unless a single delta has more: on SQLite, all other writers wait for it."""
ROWS_PER_STATEMENT = 50
BREATH_S = 0.001
"""Between statements, so that other threads of this process are not kept waiting for the GIL."""
IDENTITY = ["span", "start", "pipeline", "key", "dialect"]
FIGURES = ["requests", "figures"]


class Merger:
    """Of one web process, on the thread of its request log. Any may merge what all have written."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._due_at = time.monotonic() + interval_s
        self._prune_at = 0.0
        self._failed = False

    def due(self) -> bool:
        return time.monotonic() >= self._due_at

    def run(self, most_s: float = RUN_S) -> None:
        """Merge for about so long. An error is logged, once until it works again; the deltas stay for the next time."""
        began, is_behind = time.monotonic(), False
        try:
            database = router.db_for_write(RollUp)
            while (is_behind := merge(database)) and time.monotonic() < began + most_s:
                time.sleep(BREATH_S)
            if began >= self._prune_at:
                prune(time.time(), database)
                self._prune_at = began + PRUNE_S
            self._failed = False
        except Exception as error:  # the thread must survive any error
            if not self._failed:
                logger.warning("Roll-ups of the request log are behind (%s: %s).", type(error).__name__, error)
            self._failed, is_behind = True, False
            connections.close_all()  # of this thread; a failed one is not used again
        ended = time.monotonic()
        took_s = ended - began
        self._due_at = ended + (took_s / SHARE_BEHIND if is_behind else max(self._interval_s, took_s / SHARE))


def merge(database: str) -> bool:
    """Merge the oldest deltas in one transaction; returns whether there were more than it took."""
    if not RollUpDelta.objects.using(database).exists():
        return False
    with transaction.atomic(using=database):
        _lock(database)
        deltas = RollUpDelta.objects.using(database).order_by("pk").values_list("pk", "figures")[:MOST_DELTAS]
        merged: list[int] = []
        counter = RollUpCounter()
        for number, data in deltas:
            merged.append(number)
            counter.update(RollUpCounter.decode(data))
            if len(counter) >= MOST_SUMS:
                break
        for slot, cells in sorted(cube(counter).items()):
            _add(slot, cells, database)
        RollUpDelta.objects.using(database).filter(pk__in=merged).delete()
    return len(merged) == MOST_DELTAS or len(counter) >= MOST_SUMS


def prune(now: float, database: str) -> None:
    for span, age in KEPT.items():
        RollUp.objects.using(database).filter(span=span, start__lt=int(now - age.total_seconds())).delete()


def _lock(database: str) -> None:
    """One transaction after the other; on SQLite this takes the lock of the database, on others that of the row."""
    row = RollUp.objects.using(database).filter(span=RollUp.LOCK)
    if not row.update(requests=F("requests") + 1):
        RollUp.objects.using(database).bulk_create([RollUp(span=RollUp.LOCK, start=0)], ignore_conflicts=True)
        row.update(requests=F("requests") + 1)


def _add(slot: Slot, cells: Cells, database: str) -> None:
    ordered = iter(sorted(cells.items()))
    while part := dict(islice(ordered, ROWS_PER_STATEMENT)):
        known = _known(slot, part, database)
        rows = [_row(slot, cell, figures, known.get(cell)) for cell, figures in part.items()]
        _replace(rows, database)
        time.sleep(BREATH_S)


def _known(slot: Slot, cells: Mapping[Cell, Figures], database: str) -> dict[Cell, Figures]:
    rows = RollUp.objects.using(database).filter(span=slot.span, start=slot.start)
    for column, names in zip(("pipeline", "key", "dialect"), map(set, zip(*cells, strict=True)), strict=True):
        rows = rows.filter(**{f"{column}__in": sorted(names)})
    found = rows.values_list("pipeline", "key", "dialect", "figures").iterator()
    return {(p, k, d): decode(data) for p, k, d, data in found if (p, k, d) in cells}


def _row(slot: Slot, cell: Cell, more: Figures, known: Figures | None) -> RollUp:
    if known is not None:
        known.update(more)
    figures = known or more
    pipeline, key, dialect = cell
    return RollUp(
        span=slot.span,
        start=slot.start,
        pipeline=pipeline,
        key=key,
        dialect=dialect,
        requests=figures.requests,
        figures=encode(figures),
    )


def _replace(rows: Sequence[RollUp], database: str) -> None:
    features = connections[database].features
    if features.supports_update_conflicts:
        unique = IDENTITY if features.supports_update_conflicts_with_target else None
        RollUp.objects.using(database).bulk_create(
            rows, update_conflicts=True, update_fields=FIGURES, unique_fields=unique
        )
        return
    for row in rows:
        values = {column: getattr(row, column) for column in FIGURES}
        where = {column: getattr(row, column) for column in IDENTITY}
        RollUp.objects.using(database).update_or_create(**where, defaults=values)
