"""What the request log writes in one transaction."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

from django.db import DataError, IntegrityError, router, transaction

from inference.models import InferenceRequest
from inference.request_log import usage_table
from inference.request_log.audit.chain_writer import ChainWriter
from inference.request_log.entry import Entry, to_row
from inference.request_log.usage import UsageCounter

ROW_ERRORS = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
"""Errors of a row, which is dropped. After any other error the batch is kept and written again."""


class Batch(NamedTuple):
    """Entries and the usage of others that have no row."""

    entries: Sequence[Entry]
    usage: UsageCounter
    repeated: bool = False
    """It was being written when the database failed, and may have been committed."""

    def insert(self, chain: ChainWriter | None = None) -> None:
        """Write rows, chained if there is a chain, and the usage of both, or nothing.

        The rows of usage are locked for the commit only.
        """
        rows = [to_row(entry) for entry in self.entries]
        usage = UsageCounter(self.entries)
        usage.update(self.usage)
        database = router.db_for_write(InferenceRequest)
        chained = chain.chained(rows, [entry.gap for entry in self.entries]) if chain else nullcontext()
        with chained, transaction.atomic(using=database):
            InferenceRequest.objects.using(database).bulk_create(rows)
            usage_table.add(usage.rows(), database)

    def is_written(self) -> bool:
        """It is there as a whole or not at all, so its first row says which."""
        if not self.entries:
            return False
        row, database = to_row(self.entries[0]), router.db_for_write(InferenceRequest)
        known = InferenceRequest.objects.using(database)
        return known.filter(request_id=row.request_id, received_at=row.received_at).exists()
