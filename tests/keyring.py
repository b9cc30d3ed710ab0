"""Keys in the database of a server that runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from inference.access.keys import make
from inference.models import ApiKey

ALIAS = "of_a_server"


class Keyring:
    """Writes as the admin and the commands do: with ``ApiKey.save``."""

    def __init__(self, database: Path, blocker: DjangoDbBlocker) -> None:
        self._database = database
        self._blocker = blocker

    def make(self, **fields: Any) -> str:
        """A new key, which works within a second."""
        new = make()
        with self._connected():
            row = ApiKey(**{"owner": "acme", "name": "tests", "prefix": new.prefix, "digest": new.digest} | fields)
            row.save(using=ALIAS)
        return new.key

    def revoke(self, key: str) -> None:
        self.change(key, revoked_at=timezone.now())

    def expire(self, key: str, at: datetime) -> None:
        self.change(key, expires_at=at)

    def change(self, key: str, **fields: Any) -> None:
        with self._connected():
            row = ApiKey.objects.using(ALIAS).get(prefix=key[4:12])
            for name, value in fields.items():
                setattr(row, name, value)
            row.save(using=ALIAS)

    def make_staff(self, name: str, password: str) -> None:
        """Somebody who may log in to the admin."""
        with self._connected():
            get_user_model().objects.db_manager(ALIAS).create_user(name, password=password, is_staff=True)

    def row(self, key: str) -> ApiKey:
        with self._connected():
            return ApiKey.objects.using(ALIAS).get(prefix=key[4:12])

    @contextmanager
    def _connected(self) -> Iterator[None]:
        connections.settings[ALIAS] = connections.settings["default"] | {"NAME": str(self._database)}
        try:
            with self._blocker.unblock():
                yield
        finally:
            connections[ALIAS].close()
            del connections[ALIAS], connections.settings[ALIAS]
