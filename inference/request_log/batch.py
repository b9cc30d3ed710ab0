"""What the request log writes in one transaction."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

from django.db import DataError, IntegrityError, router, transaction

from inference.models import InferenceRequest, RollUpDelta
from inference.request_log import usage_table
from inference.request_log.audit.chain_writer import ChainWriter
from inference.request_log.counters import Counters
from inference.request_log.entry import Entry, to_row

ROW_ERRORS = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
"""Errors of a row, which is dropped. After any other error the batch is kept and written again."""


class Batch(NamedTuple):
    """Entries, and what others add to usage and roll-ups that have no row."""

    entries: Sequence[Entry]
    others: Counters
    repeated: bool = False
    """It was being written when the database failed, and may have been committed."""

    def insert(self, chain: ChainWriter | None = None) -> None:
        """Write rows, chained if there is a chain, and the usage and roll-up of both, or nothing.

        The rows of usage are locked for the commit only. No other process writes the delta's row.
        """
        rows = [to_row(entry) for entry in self.entries]
        counters = Counters(self.entries)
        counters.update(self.others)
        delta = RollUpDelta(figures=counters.roll_up.encode())
        database = router.db_for_write(InferenceRequest)
        chained = chain.chained(rows, [entry.gap for entry in self.entries]) if chain else nullcontext()
        with chained, transaction.atomic(using=database):
            InferenceRequest.objects.using(database).bulk_create(rows)
            delta.save(using=database, force_insert=True)
            usage_table.add(counters.usage.rows(), database)

    def is_written(self) -> bool:
        """It is there as a whole or not at all, so its first row says which."""
        if not self.entries:
            return False
        row, database = to_row(self.entries[0]), router.db_for_write(InferenceRequest)
        known = InferenceRequest.objects.using(database)
        return known.filter(request_id=row.request_id, received_at=row.received_at).exists()
