"""A text that is another one after each change of what web processes keep in memory, so that they need not read it all
to see one: keys, and what operators want of pipelines."""

import secrets

from django.db import models


class Stamp(models.Model):
    """One row. It is changed in the transaction of the change, whose lock keeps the order of commits."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    value = models.CharField(max_length=32)

    class Meta:
        db_table = "inference_keystamp"  # processes of a release before read it during an upgrade

    def __str__(self) -> str:
        return self.value

    @classmethod
    def renew(cls, using: str) -> None:
        """Call within the transaction of a change."""
        cls.objects.using(using).update_or_create(id=cls.ONLY, defaults={"value": secrets.token_hex(16)})
