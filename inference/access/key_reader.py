"""What keeps a ``KeyTable`` like the database: it reads all keys where the stamp is another one."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db import router
from django.db.models import Q
from django.utils import timezone

from inference.access.key_table import KeyTable, KnownKey
from inference.access.principal import Limits, Principal
from inference.models import ApiKey
from inference.polling.database_thread import DatabaseThread

logger = logging.getLogger(__name__)

USED_S = 10.0
"""How often it is written which keys were used."""
CHUNK = 500
UNWRITTEN = "It cannot be written which keys are used"


class KeyReader:
    """Reads for a ``StampPoll``; on another thread, so that no revocation waits for a lock, writes which were used.

    Args:
        changed: called on the reading thread after the table was replaced.
    """

    def __init__(self, table: KeyTable, changed: Callable[[], None]) -> None:
        self._table = table
        self._changed = changed
        self.writing = DatabaseThread("used-keys", USED_S, self.write_used, lambda: UNWRITTEN)

    def read(self, using: str) -> None:
        """Raises whatever the database raises."""
        self._table.replace([*_read(using)])
        self._changed()

    def write_used(self) -> None:
        """Raises whatever the database raises; those of this time are not written then."""
        used, using = self._table.take_used(), router.db_for_write(ApiKey)
        for start in range(0, len(used), CHUNK):
            some = used[start : start + CHUNK]
            ApiKey.objects.using(using).filter(prefix__in=some).update(last_used_at=timezone.now())

    def unread(self) -> str:
        """What to log when the keys cannot be read."""
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
