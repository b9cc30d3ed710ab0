"""What keeps a ``KeyTable`` like the database.

It asks for the stamp that a change of a key renews, and reads all keys where it is another one. Two queries a second of
one row are cheaper than messages that may be lost; so no change is announced over the channel layer.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db import router
from django.db.models import Q
from django.utils import timezone

from inference.access.database_thread import DatabaseThread
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
UNWRITTEN = "It cannot be written which keys are used"


class KeyReader:
    """Reads on one thread, and writes which keys were used on another: a revocation must not wait for a lock.

    Args:
        changed: called on the reading thread after the table was replaced.
    """

    def __init__(self, table: KeyTable, changed: Callable[[], None]) -> None:
        self._table = table
        self._changed = changed
        self._stamp: str | None = None
        self._read_at = -math.inf
        self.reading = DatabaseThread("keys", POLL_S, self.refresh, self._unread)
        self.writing = DatabaseThread("used-keys", USED_S, self.write_used, lambda: UNWRITTEN)

    def start(self) -> None:
        self.reading.start()
        self.writing.start()

    async def stop(self) -> None:
        """End the threads; it is written which keys were used."""
        self.writing.tell_to_stop()
        await self.reading.stop()
        await self.writing.stop()

    def refresh(self) -> None:
        """Read what has changed. Raises whatever the database raises."""
        now, using = time.monotonic(), router.db_for_write(ApiKey)  # a replica may be behind
        stamp = KeyStamp.objects.using(using).filter(pk=KeyStamp.ONLY).values_list("value", flat=True).first()
        if stamp != self._stamp or now - self._read_at >= READ_ALL_S:
            self._table.replace([*_read(using)])
            self._stamp, self._read_at = stamp, now
            self._changed()

    def write_used(self) -> None:
        """Raises whatever the database raises; those of this time are not written then."""
        used, using = self._table.take_used(), router.db_for_write(ApiKey)
        for start in range(0, len(used), CHUNK):
            some = used[start : start + CHUNK]
            ApiKey.objects.using(using).filter(prefix__in=some).update(last_used_at=timezone.now())

    def _unread(self) -> str:
        known = f"{len(self._table)} known ones are used" if self._table.loaded else "requests get 503"
        return f"The keys cannot be read; {known} meanwhile"


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
