"""A text that is another one after each change of the keys, so that their readers need not read them all to see it."""

import secrets

from django.db import models


class KeyStamp(models.Model):
    """One row. It is changed in the transaction of the change, whose lock keeps the order of commits."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    value = models.CharField(max_length=32)

    def __str__(self) -> str:
        return self.value

    @classmethod
    def renew(cls, using: str) -> None:
        """Call within a transaction that changes keys."""
        cls.objects.using(using).update_or_create(id=cls.ONLY, defaults={"value": secrets.token_hex(16)})
