"""The buffered writer of the request log.

The event loop appends entries to a buffer in memory; a thread writes them. Inference never waits for the database: in
an outage entries are buffered, and dropped once the buffer is full.
"""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from django.db import connections, router

from inference.models import InferenceRequest
from inference.request_log.aggregation import RefusalAggregator
from inference.request_log.audit.chain_writer import ChainWriter
from inference.request_log.batch import ROW_ERRORS, Batch
from inference.request_log.counters import Counters
from inference.request_log.entry import Entry
from inference.request_log.outage import FIRST_RETRY_S, DatabaseOutage
from inference.request_log.rollup.merging import RUN_S, Merger

logger = logging.getLogger(__name__)

NOTHING = Batch((), Counters())
"""To write; roll-ups are to be merged."""
WITHOUT_FIGURES: dict[str, Any] = {
    **{"inputs": 0, "units": 0, "tokens": 0, "computed_tokens": 0.0, "batch_size": 0},
    **{"model_ms": None, "queue_ms": None, "inference_ms": None, "total_ms": math.nan},
}
"""What an entry counts with whose figures may be no numbers for a database."""
MAX_BATCH_ROWS = 200
"""Larger batches hold the GIL long enough to stall the event loop (50 ms for 500 rows)."""
MAX_BATCH_CHARS = 1_000_000
"""Of inputs, parameters and answers in one batch."""


class RequestLog:
    """Buffer and writer thread.

    Every recorded client call is counted once, in ``written`` or in ``dropped``: dropped are those recorded while the
    buffer was full, and those whose row the database rejected. All of them are counted in usage and roll-ups, in the
    transaction of their rows. A batch whose commit was not confirmed is written again if it is not there.
    """

    def __init__(
        self,
        *,
        capacity: int = 20_000,
        capacity_chars: int = 50_000_000,
        interval_s: float = 0.5,
        longest_retry_s: float = 10.0,
        audit: bool = False,
    ) -> None:
        """``capacity`` is in rows; ``capacity_chars`` bounds the size of what they keep of inputs and answers.

        ``audit`` chains the rows.
        """
        self.written = 0
        self.dropped = 0
        self._capacity = capacity
        self._capacity_chars = capacity_chars
        self._interval_s = interval_s
        self._longest_retry_s = longest_retry_s
        # Held only for list operations, never during a query, since the event loop waits for it.
        self._changed = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._waiting_chars = 0
        self._gap = 0
        """Requests dropped since the last one that was buffered."""
        self._audit = audit
        self._chain: ChainWriter | None = None
        self._refusals = RefusalAggregator()
        self._without_row = Counters()
        """What dropped entries add to usage and roll-ups, not yet written."""
        self._merger = Merger()
        self._unconfirmed: Batch | None = None
        """What is being written, or was when the database failed."""
        self._stopping = threading.Event()
        self._give_up_at = math.inf
        self._thread: threading.Thread | None = None
        self._database: object = None

    @property
    def waiting(self) -> int:
        """Rows not yet written."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the writer thread; may be called again after ``stop``. Entries recorded before are written."""
        if self._is_running():
            return
        self._stopping.clear()
        self._give_up_at = math.inf
        self._database = _database()
        self._chain = ChainWriter() if self._audit else None
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def record(self, entry: Entry) -> bool:
        """Append an entry, or drop it if the buffer is full. Called on the event loop.

        Returns whether the entry has a row of its own; if not, it is counted in a row shared with other refusals.
        """
        with self._changed:
            refused = entry.status == InferenceRequest.Status.REFUSED
            complete = self._refusals.add(entry, time.monotonic()) if refused else [entry]
            self._buffer(complete)
            if len(self._waiting) >= MAX_BATCH_ROWS:
                self._changed.notify()
        return entry in complete

    async def stop(self, timeout_s: float = 5) -> None:
        """Write everything, then end the thread. After ``timeout_s``, log how many requests are unwritten."""
        if self._thread is None:
            return
        self._give_up_at = time.monotonic() + timeout_s
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        while self._thread.is_alive() and time.monotonic() < self._give_up_at:  # noqa: ASYNC110 - a thread cannot set an asyncio event
            await asyncio.sleep(0.01)  # at interpreter exit there is no executor to join the thread in
        with self._changed:
            self._buffer(self._refusals.flush())
            unwritten = sum(entry.count for entry in self._waiting)
        if unwritten:
            logger.error("The request log ends without %d requests, which could not be written.", unwritten)

    async def flush(self, timeout_s: float = 5) -> None:
        """Wait until all that was recorded is written, or the time has passed. Entries may come after it."""
        with self._changed:
            self._buffer(self._refusals.flush())
            self._changed.notify()
        give_up_at = time.monotonic() + timeout_s
        while self._is_behind() and self._is_running() and time.monotonic() < give_up_at:  # noqa: ASYNC110 - see stop()
            await asyncio.sleep(0.01)

    def _is_behind(self) -> bool:
        return bool(self._waiting or self._without_row or self._unconfirmed)

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _buffer(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if len(self._waiting) >= self._capacity or self._waiting_chars >= self._capacity_chars:
                self.dropped += entry.count
                self._without_row.add(entry)
                self._gap += entry.count
            else:
                entry.gap, self._gap = self._gap, 0
                self._waiting.append(entry)
                self._waiting_chars += entry.chars

    def _remove_oldest(self, number: int, *, written: bool) -> None:
        """Remove entries from the buffer and count them as written or dropped."""
        with self._changed:
            removed = [self._waiting.popleft() for _ in range(number)]
            self._waiting_chars -= sum(entry.chars for entry in removed)
            requests = sum(entry.count for entry in removed)
            if written:
                self.written += requests
                return
            self.dropped += requests
            gap = requests + sum(entry.gap for entry in removed)
            if self._waiting:
                self._waiting[0].gap += gap
            else:
                self._gap += gap

    def _run(self) -> None:
        outage: DatabaseOutage | None = None
        while batch := self._next_batch():
            try:
                self._write(batch)
            except Exception as error:  # the thread must survive any error
                outage = outage or DatabaseOutage.begin(error, self.dropped)
                if not self._pause(outage):
                    break
            else:
                if outage:
                    outage.end(self.dropped)
                    outage = None
                if self._merger.due():
                    self._merge()
        if self._chain:
            self._chain.close()
        self._merge(outage, most_s=math.inf)
        connections.close_all()

    def _merge(self, outage: DatabaseOutage | None = None, most_s: float = RUN_S) -> None:
        if not outage and _database() == self._database:
            self._merger.run(most_s)

    def _next_batch(self) -> Batch | None:
        """Wait for the next batch; its entries stay in the buffer. ``None``: the log is stopped and all is written."""
        with self._changed:
            while True:
                self._changed.wait_for(self._due, self._interval_s)
                stopping = self._stopping.is_set()
                self._buffer(self._refusals.flush() if stopping else self._refusals.pop_complete(time.monotonic()))
                if self._unconfirmed is not None:
                    return self._unconfirmed._replace(repeated=True)
                if self._is_behind():
                    others, self._without_row = self._without_row, Counters()
                    self._unconfirmed = Batch(self._oldest(), others)
                    return self._unconfirmed
                if stopping:
                    return None
                if self._merger.due():
                    return NOTHING

    def _due(self) -> bool:
        return len(self._waiting) >= MAX_BATCH_ROWS or self._stopping.is_set()

    def _oldest(self) -> list[Entry]:
        entries: list[Entry] = []
        chars = 0
        for entry in islice(self._waiting, MAX_BATCH_ROWS):
            chars += entry.chars
            if entries and chars > MAX_BATCH_CHARS:
                break
            entries.append(entry)
        return entries

    def _write(self, batch: Batch) -> None:
        """The connection is kept: opening one costs as much as writing a batch, and an fsync on SQLite.

        Entries that were recorded while Django's tests ran are not for the database that is there afterwards.
        """
        if batch is NOTHING:
            return
        if _database() != self._database:
            number = len(batch.entries)
            logger.warning("The database is another one than at the start: %d requests are not logged", number)
            self._unconfirmed = None
            self._remove_oldest(number, written=False)
            return
        try:
            if batch.repeated and self._is_written(batch):
                self._confirm(batch)
            else:
                self._insert(batch)
        except Exception:
            connections.close_all()  # of this thread; a failed one is not used again
            raise

    def _is_written(self, batch: Batch) -> bool:
        """The head of the chain says it, if there is one. Raises what the database raises."""
        return self._chain.is_written() if self._chain and batch.entries else batch.is_written()

    def _insert(self, batch: Batch) -> None:
        """Write a batch and remove it from the buffer. One with a rejected row is halved until that row is alone.

        Raises:
            Exception: the database failed; entries not yet written are still in the buffer.
        """
        self._unconfirmed = batch
        try:
            batch.insert(self._chain)
        except ROW_ERRORS as error:
            if self._chain:
                self._chain.rejected()
            entries, others = batch.entries, batch.others
            half = len(entries) // 2
            if entries and others:
                self._insert(Batch((), others))
                self._insert(Batch(entries, Counters()))
            elif half:
                self._insert(Batch(entries[:half], others))
                self._insert(Batch(entries[half:], others))
            else:
                self._reject(batch, error)
        else:
            self._confirm(batch)

    def _confirm(self, batch: Batch) -> None:
        self._unconfirmed = None
        self._remove_oldest(len(batch.entries), written=True)

    def _reject(self, batch: Batch, error: Exception) -> None:
        """Of one row. Its figures are no numbers for a database; that the request was is counted all the same."""
        reason = str(error).partition("\n")[0]  # PostgreSQL's second line quotes the row
        self._unconfirmed = None
        if not batch.entries:
            logger.error("The database rejected the usage of requests without a row: %s", reason)
            return
        (entry,) = batch.entries
        logger.error("The database rejected the log row of request %s: %s", entry.request_id, reason)
        self._remove_oldest(1, written=False)
        with self._changed:
            self._without_row.add(replace(entry, received_at=time.time(), **WITHOUT_FIGURES))

    def _pause(self, outage: DatabaseOutage) -> bool:
        """Wait before the next attempt, longer each time. False if there is no time left for one."""
        if not self._stopping.wait(outage.retry_s):
            outage.retry_s = min(outage.retry_s * 2, self._longest_retry_s)
            return True
        time.sleep(FIRST_RETRY_S)
        return time.monotonic() < self._give_up_at


def _database() -> object:
    """The name of the database; Django's tests change it while they run. ``None`` where a router says none."""
    try:
        return connections[router.db_for_write(InferenceRequest)].settings_dict["NAME"]
    except Exception:  # of a router that wants a request
        return None
