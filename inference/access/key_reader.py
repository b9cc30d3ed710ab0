"""The thread that keeps a ``KeyTable`` like the database.

It asks for the stamp that a change of a key renews, and reads all keys where it is another one. Two queries a second of
one row are cheaper than messages that may be lost; so no change is announced over the channel layer.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db import DatabaseError, connections, router
from django.db.models import Q
from django.utils import timezone

from inference.access.key_table import KeyTable, KnownKey
from inference.access.principal import Limits, Principal
from inference.models import ApiKey, KeyStamp

logger = logging.getLogger(__name__)

POLL_S = 0.5
READ_ALL_S = 30.0
"""Also without another stamp: changes by ``QuerySet.update`` or SQL do not renew it."""
USED_S = 10.0
"""How often it is written which keys were used."""
CHUNK = 500
STOP_S = 2.0


class KeyReader:
    """Has a connection of its own.

    Args:
        changed: called on the thread after the table was replaced.
    """

    def __init__(self, table: KeyTable, changed: Callable[[], None]) -> None:
        self._table = table
        self._changed = changed
        self._stopping = threading.Event()
        self._stamp: str | None = None
        self._read_at = -math.inf
        self._used_written_at = -math.inf
        self._outage_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """End the thread, which writes which keys were used."""
        self._stopping.set()
        give_up_at = time.monotonic() + STOP_S
        while self._thread.is_alive() and time.monotonic() < give_up_at:  # noqa: ASYNC110 - as in the request log
            await asyncio.sleep(0.01)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._attempt()
            self._stopping.wait(POLL_S)
        self._used_written_at = -math.inf
        self._attempt()
        connections.close_all()

    def _attempt(self) -> None:
        try:
            self.refresh()
        except Exception as error:  # the thread must survive any error
            connections.close_all()  # of this thread; a failed one is not used again
            self._report(error)
        else:
            if self._outage_since is not None:
                logger.warning("The keys can be read again after %.1f s", time.monotonic() - self._outage_since)
                self._outage_since = None

    def refresh(self) -> None:
        """Read what has changed, and write which keys were used. Raises whatever the database raises."""
        now = time.monotonic()
        using = router.db_for_write(ApiKey)  # a replica may be behind
        stamp = KeyStamp.objects.using(using).filter(pk=KeyStamp.ONLY).values_list("value", flat=True).first()
        if stamp != self._stamp or now - self._read_at >= READ_ALL_S:
            self._table.replace([*_read(using)])
            self._stamp, self._read_at = stamp, now
            self._changed()
        if now - self._used_written_at >= USED_S:
            self._used_written_at = now  # before it is tried: a table that is locked is not waited for at each poll
            self._write_used(using)

    def _write_used(self, using: str) -> None:
        used = self._table.take_used()
        for start in range(0, len(used), CHUNK):
            some = used[start : start + CHUNK]
            ApiKey.objects.using(using).filter(prefix__in=some).update(last_used_at=timezone.now())

    def _report(self, error: Exception) -> None:
        """Once per outage."""
        if self._outage_since is not None:
            return
        self._outage_since = time.monotonic()
        state = f"{len(self._table)} known ones are used" if self._table.loaded else "requests get 503"
        unexpected = None if isinstance(error, DatabaseError) else error
        logger.error(
            "The keys cannot be read (%s: %s); %s meanwhile", type(error).__name__, error, state, exc_info=unexpected
        )


def _read(using: str) -> Iterator[KnownKey]:
    """The keys that are not revoked or expired. A row that cannot be understood is none."""
    working = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
    for row in ApiKey.objects.using(using).filter(working).values().iterator(CHUNK):
        try:
            yield _known(row)
        except (TypeError, ValueError) as error:
            logger.error("The key with the prefix %s cannot be used: %s", row["prefix"], error)


def _known(row: Mapping[str, Any]) -> KnownKey:
    digest = bytes.fromhex(row["digest"])
    if len(digest) != 32:
        raise ValueError("its digest is not SHA-256")
    limits = Limits(**{name: row[name] for name in Limits.__slots__})
    if limits.max_deadline_s is not None and not limits.max_deadline_s > 0:
        raise ValueError("its longest deadline is not above 0")
    principal = Principal(
        owner=row["owner"],
        key=row["prefix"],
        name=row["name"],
        manages=row["scope"] == ApiKey.Scope.MANAGE,
        pipelines=_names(row["pipelines"]),
        routes=_names(row["routes"]),
        limits=limits,
        priority=row["priority"],
    )
    expires_at = row["expires_at"]
    return KnownKey(digest, expires_at.timestamp() if expires_at else math.inf, principal)


def _names(value: Any) -> frozenset[str]:
    """Raises ``TypeError``: an empty set would allow everything."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{value!r} is no list of names")
    return frozenset(value)
