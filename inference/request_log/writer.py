"""The buffered writer of the request log: every client call, whatever its outcome.

The event loop only appends to a buffer in memory; a thread of its own writes. Inference never waits for the
database, and one that is down costs nothing until the buffer is full, and then only log rows.
"""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from django.db import DatabaseError, DataError, IntegrityError, connections

from inference.models import InferenceRequest
from inference.request_log.entry import Entry, Refusals, preview, report, to_row

__all__ = ["Entry", "RequestLog", "preview", "report"]

logger = logging.getLogger(__name__)

BATCH_ROWS = 200
"""More rows at once would hold the GIL for so long that the event loop stalls (50 ms for 500 rows)."""
BATCH_CHARS = 1_000_000
FIRST_RETRY_S = 0.1
ROW_ERRORS = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
"""What is wrong with a row rather than with the database. Anything else is tried again, with nothing thrown away."""


class RequestLog:
    """Buffer and writer thread.

    ``written`` and ``dropped`` count client calls: every recorded one ends in exactly one of them, ``dropped``
    being those that met a full buffer and those whose row the database rejected. A commit whose confirmation
    got lost is repeated, so an outage may leave one batch in the database twice.
    """

    def __init__(
        self,
        *,
        capacity: int = 20_000,
        capacity_chars: int = 50_000_000,
        interval_s: float = 0.5,
        longest_retry_s: float = 10.0,
    ) -> None:
        """``capacity`` is in rows; ``capacity_chars`` bounds their previews, which may be whole request bodies."""
        self.written = 0
        self.dropped = 0
        self._capacity = capacity
        self._capacity_chars = capacity_chars
        self._interval_s = interval_s
        self._longest_retry_s = longest_retry_s
        # Held for a few list operations at a time, never while the database works: the event loop takes it.
        self._changed = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._waiting_chars = 0
        self._refusals = Refusals()
        self._stopping = threading.Event()
        self._give_up_at = math.inf
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Rows that the database has not taken yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the writer thread, also again after ``stop``. What was recorded before is written too."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stopping.clear()
        self._give_up_at = math.inf
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def record(self, entry: Entry) -> bool:
        """Hand over an entry; called from the event loop. A full buffer drops it.

        Returns whether it stands for itself: one of many refusals is counted in a row that they share.
        """
        with self._changed:
            refused = entry.status == InferenceRequest.Status.REFUSED
            complete = self._refusals.add(entry, time.monotonic()) if refused else [entry]
            self._keep(complete)
            if len(self._waiting) >= BATCH_ROWS:
                self._changed.notify()
        return entry in complete

    async def stop(self, timeout_s: float = 5) -> None:
        """Write everything, then end the thread. Gives up after ``timeout_s`` and says how much is unwritten."""
        if self._thread is None:
            return
        self._give_up_at = time.monotonic() + timeout_s
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        while self._thread.is_alive() and time.monotonic() < self._give_up_at:  # noqa: ASYNC110 - a thread sets no event
            await asyncio.sleep(0.01)  # as the interpreter exits there is no executor to join the thread in
        with self._changed:
            self._keep(self._refusals.close())
            unwritten = sum(entry.count for entry in self._waiting)
        if unwritten:
            logger.error("The request log ends without %d requests: the database did not take them.", unwritten)

    def _keep(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if len(self._waiting) >= self._capacity or self._waiting_chars >= self._capacity_chars:
                self.dropped += entry.count
            else:
                self._waiting.append(entry)
                self._waiting_chars += len(entry.preview)

    def _forget(self, number: int, *, written: bool) -> None:
        """Take the oldest entries off the buffer: they are in the database, or will never be."""
        with self._changed:
            gone = [self._waiting.popleft() for _ in range(number)]
            self._waiting_chars -= sum(len(entry.preview) for entry in gone)
            requests = sum(entry.count for entry in gone)
            if written:
                self.written += requests
            else:
                self.dropped += requests

    def _run(self) -> None:
        outage: _Outage | None = None
        while batch := self._next_batch():
            try:
                self._write(batch)
            except Exception as error:  # whatever it is, this thread lives on
                outage = outage or _Outage.report(error, self.dropped)
                if not self._pause(outage):
                    break
            else:
                if outage:
                    outage.report_end(self.dropped)
                    outage = None
        connections.close_all()

    def _next_batch(self) -> list[Entry]:
        """Wait until a batch is due. Its entries stay in the buffer; empty means stopped, with nothing left."""
        with self._changed:
            while True:
                self._changed.wait_for(self._due, self._interval_s)
                stopping = self._stopping.is_set()
                self._keep(self._refusals.close() if stopping else self._refusals.over(time.monotonic()))
                if self._waiting or stopping:
                    return self._oldest()

    def _due(self) -> bool:
        return len(self._waiting) >= BATCH_ROWS or self._stopping.is_set()

    def _oldest(self) -> list[Entry]:
        batch: list[Entry] = []
        chars = 0
        for entry in islice(self._waiting, BATCH_ROWS):
            chars += len(entry.preview)
            if batch and chars > BATCH_CHARS:
                break
            batch.append(entry)
        return batch

    def _write(self, batch: Sequence[Entry]) -> None:
        """The thread keeps its connection: opening one per batch costs as much as the rows, on SQLite even an fsync."""
        try:
            self._insert(batch)
        except Exception:
            connections.close_all()  # this thread's; one that failed is not used again
            raise

    def _insert(self, batch: Sequence[Entry]) -> None:
        """Write and forget. A batch with a rejected row is halved until that row is alone, so the others get in.

        Raises:
            Exception: whatever the database says that is not about a row; what was not written is still waiting.
        """
        try:
            InferenceRequest.objects.bulk_create([to_row(entry) for entry in batch])
        except ROW_ERRORS as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._insert(batch[:half])
                self._insert(batch[half:])
                return
            reason = str(error).partition("\n")[0]  # PostgreSQL's next line quotes the row
            logger.error("The database rejected the log row of request %s: %s", batch[0].request_id, reason)
            self._forget(1, written=False)
        else:
            self._forget(len(batch), written=True)

    def _pause(self, outage: "_Outage") -> bool:
        """Wait before the next attempt, longer each time; false when there will be none."""
        if not self._stopping.wait(outage.retry_s):
            outage.retry_s = min(outage.retry_s * 2, self._longest_retry_s)
            return True
        time.sleep(FIRST_RETRY_S)
        return time.monotonic() < self._give_up_at


@dataclass(slots=True)
class _Outage:
    """A time in which the database takes nothing; reported when it begins and when it is over."""

    began: float
    dropped_before: int
    retry_s: float = FIRST_RETRY_S

    @classmethod
    def report(cls, error: Exception, dropped: int) -> "_Outage":
        logger.error(
            "The request log cannot be written (%s: %s); entries wait while there is room, and are tried again.",
            type(error).__name__,
            error,
            exc_info=None if isinstance(error, DatabaseError) else error,
        )
        return cls(time.monotonic(), dropped)

    def report_end(self, dropped: int) -> None:
        logger.warning(
            "The request log is written again after %.1f s; %d requests were dropped meanwhile.",
            time.monotonic() - self.began,
            dropped - self.dropped_before,
        )
