"""An outage of the database, as the request log reports it."""

import logging
import time
from dataclasses import dataclass

from django.db import DatabaseError

from inference.models import InferenceRequest, RollUpDelta, Usage

logger = logging.getLogger(__name__)

FIRST_RETRY_S = 0.1
TABLES = [model._meta.db_table for model in (InferenceRequest, RollUpDelta, Usage)]
MIGRATE = " Is the database migrated? `manage.py migrate` does that."


@dataclass(slots=True)
class DatabaseOutage:
    """A period in which no write succeeds. It is reported when it begins and when it ends, not at each attempt."""

    began: float
    dropped_before: int
    retry_s: float = FIRST_RETRY_S
    """Pause before the next attempt; grows with each."""

    @classmethod
    def begin(cls, error: Exception, dropped: int) -> "DatabaseOutage":
        """Report that writing failed. ``dropped`` is the number of requests dropped so far."""
        logger.error(
            "The request log cannot be written (%s: %s). Entries are buffered, and writing is retried.%s",
            type(error).__name__,
            error,
            MIGRATE if any(table in str(error) for table in TABLES) else "",
            exc_info=None if isinstance(error, DatabaseError) else error,
        )
        return cls(time.monotonic(), dropped)

    def end(self, dropped: int) -> None:
        """Report that writing works again."""
        logger.warning(
            "The request log is written again after %.1f s; %d requests were dropped meanwhile.",
            time.monotonic() - self.began,
            dropped - self.dropped_before,
        )
