"""Aggregation of refusals: under a flood, similar ones share a row of the request log."""

import math

from inference.request_log.entry import Entry

ROWS_PER_SECOND = 50
"""Refusals within one second that get a row each; similar ones beyond these share a row."""


class RefusalAggregator:
    """Bounds the rows that refusals produce, so that a flood of them fills neither the buffer nor the database.

    Refusals share a row if their error code, transport, pipeline and key are equal. A second begins with the first
    refusal after the last one has passed. No I/O, and the time is an argument: seconds of any monotonic clock.
    """

    def __init__(self, rows_per_second: int = ROWS_PER_SECOND) -> None:
        self._rows_per_second = rows_per_second
        self._second_began = -math.inf
        self._refusals = 0
        self._shared: dict[tuple[str, ...], Entry] = {}

    def add(self, entry: Entry, now: float) -> list[Entry]:
        """Add one refusal; returns the rows that are now complete."""
        complete = self.pop_complete(now)
        if now - self._second_began >= 1:
            self._second_began, self._refusals = now, 0
        self._refusals += 1
        if self._refusals <= self._rows_per_second:
            return [*complete, entry]
        shared = self._shared.setdefault((entry.code, entry.transport, entry.pipeline, entry.key), entry)
        if shared is not entry:
            shared.count += entry.count
            shared.units += entry.units  # of answers that were too large
            shared.tokens += entry.tokens
            shared.computed_tokens += entry.computed_tokens
            shared.model_ms = (shared.model_ms or 0.0) + (entry.model_ms or 0.0) or None
            if shared.client != entry.client:
                shared.client = None  # the refusals came from several clients
            if shared.dialect != entry.dialect:
                shared.dialect = ""
        return complete

    def pop_complete(self, now: float) -> list[Entry]:
        """Remove and return the shared rows if their second has passed."""
        return self.flush() if now - self._second_began >= 1 else []

    def flush(self) -> list[Entry]:
        """Remove and return all shared rows."""
        rows = list(self._shared.values())
        self._shared.clear()
        return rows
