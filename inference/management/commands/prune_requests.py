"""``manage.py prune_requests``: delete old rows of the request log, or those of a person. Run it daily."""

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.models import Q, QuerySet

from inference import conf
from inference.management import chosen_rows
from inference.models import InferenceRequest
from inference.request_log.audit import removal

CHUNK_ROWS = 5_000
"""Rows deleted per transaction. Between two transactions the server can write its own rows."""

Rows = QuerySet[InferenceRequest]


class Command(BaseCommand):
    help = (
        "Deletes the rows of the request log that are older than --days, and the oldest beyond --max-rows; with --key, "
        "--owner or --request those instead, whatever their age. Of rows that an audit has chained, the latter erases "
        "client, message, inputs and answer, and the rest stays. New rows reuse the space; the database file does not "
        "shrink."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        defaults = conf.current()
        parser.add_argument("--days", type=int, default=defaults.log_days, help="default: %(default)s")
        parser.add_argument("--max-rows", type=int, default=defaults.log_max_rows, help="default: %(default)s")
        chosen_rows.add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="only print how many rows would be deleted")

    def handle(self, *_: Any, days: int, max_rows: int, dry_run: bool, **options: Any) -> None:
        if chosen_rows.chosen(options):
            self._erase(chosen_rows.rows(options), dry_run=dry_run)
        else:
            _check_range("--days", days, "log_days")
            _check_range("--max-rows", max_rows, "log_max_rows")
            cutoff = datetime.now(UTC) - timedelta(days=days)
            rows = InferenceRequest.objects.all()
            self._prune(rows, Q(received_at__lt=cutoff), f"older than {days} days", dry_run=dry_run)
            kept = rows.filter(received_at__gte=cutoff)
            self._prune(kept, _beyond(kept, max_rows), f"beyond the newest {max_rows:,}", dry_run=dry_run)
        if not dry_run:
            self._truncate_wal()

    def _prune(self, rows: Rows, condition: Q | None, why: str, *, dry_run: bool) -> None:
        """Delete the rows for which the condition holds; ``None``: for none."""
        rows = rows.filter(condition) if condition else rows.none()
        total = rows.count()
        if dry_run or not (condition and total):
            self.stdout.write(f"{total:,} rows {why} would be deleted." if dry_run else f"No rows {why}.")
            return
        deleted = 0
        for chunk in chain(_delete(rows.filter(audit_chain__isnull=True)), removal.prune(condition)):
            deleted += chunk
            self.stdout.write(f"{deleted:,} of {total:,} rows {why} deleted.")
        if deleted < total:
            self.stdout.write(f"{total - deleted:,} rows stay until those before them in their audit chain are pruned.")

    def _erase(self, rows: Rows, *, dry_run: bool) -> None:
        chained = rows.filter(audit_chain__isnull=False).count()
        others = rows.count() - chained
        if dry_run:
            self.stdout.write(f"{others:,} rows would be deleted, and texts of {chained:,} audited rows erased.")
            return
        deleted = sum(_delete(rows.filter(audit_chain__isnull=True)))
        erased = sum(removal.erase(rows))
        texts = f"client, message, answer and inputs of {erased:,} audited rows"
        self.stdout.write(f"{deleted:,} rows deleted; {texts} erased.")

    def _truncate_wal(self) -> None:
        """Shrink SQLite's write-ahead log, which a large deletion makes large."""
        if connection.vendor != "sqlite":
            return
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy = cursor.fetchone()[0]
        if busy:
            self.stdout.write("The write-ahead log is in use and was not truncated; the next run tries again.")


def _check_range(option: str, value: int, setting: str) -> None:
    rule = next(f for f in fields(conf.Conf) if f.name == setting)
    if value not in rule.metadata["allowed"]:
        raise CommandError(f"{option} is {value}; it must be {conf.expectation(rule)}.")


def _beyond(rows: Rows, keep: int) -> Q | None:
    """Of all but the newest ``keep`` rows: by a boundary row, so that concurrent runs delete no more than one."""
    newest_first = rows.order_by("-received_at", "-id").values_list("received_at", "id")
    boundary = newest_first[keep - 1 : keep].first()
    if boundary is None:
        return None
    received_at, pk = boundary
    return Q(received_at__lt=received_at) | Q(received_at=received_at, pk__lt=pk)


def _delete(rows_to_delete: Rows) -> Iterator[int]:
    """Delete in chunks, oldest first; yields the size of each."""
    oldest = rows_to_delete.order_by("received_at", "id").values("pk")[:CHUNK_ROWS]
    while deleted := InferenceRequest.objects.filter(pk__in=oldest).delete()[0]:
        yield deleted
