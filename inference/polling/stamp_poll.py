"""Asks for the stamp that a change renews, and lets its readers read where it is another one.

Two queries a second of one row are cheaper than messages that may be lost; so no change is announced over the channel
layer.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from django.db import router

from inference.models import Stamp
from inference.polling.database_thread import DatabaseThread

POLL_S = 0.5
READ_ALL_S = 30.0
"""Also without another stamp: changes by ``QuerySet.update`` or SQL do not renew it."""


class Reader(NamedTuple):
    read: Callable[[str], None]
    """Called on the poll's thread with the alias of the database; raises whatever that raises."""
    failing: Callable[[], str]
    """What to log when the database cannot be read."""


class StampPoll:
    """One per web process. Readers are added before it starts."""

    def __init__(self) -> None:
        self.thread = DatabaseThread("stamp", POLL_S, self.refresh, self._failing)
        self._readers: list[Reader] = []
        self._stamp: str | None = None
        self._read_at = -math.inf

    def add(self, reader: Reader) -> None:
        self._readers.append(reader)

    def refresh(self) -> None:
        """Read what has changed. Raises whatever the database raises."""
        now, using = time.monotonic(), router.db_for_write(Stamp)  # a replica may be behind
        stamp = Stamp.objects.using(using).filter(pk=Stamp.ONLY).values_list("value", flat=True).first()
        if stamp != self._stamp or now - self._read_at >= READ_ALL_S:
            for reader in self._readers:
                reader.read(using)
            self._stamp, self._read_at = stamp, now

    def _failing(self) -> str:
        return "; ".join(reader.failing() for reader in self._readers)
