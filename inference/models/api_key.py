"""Keys of callers."""

from datetime import datetime
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, router, transaction
from django.utils import timezone

from inference.models.stamp import Stamp

LOWEST_PRIORITY, USUAL_PRIORITY, HIGHEST_PRIORITY = 0, 5, 9


class ApiKey(models.Model):
    """What a caller may do, and how much. The secret is not stored: ``access.keys`` makes and compares it."""

    class Scope(models.TextChoices):
        INFERENCE = "inference", "inference"
        MANAGE = "manage", "inference and managing keys and pipelines"

    owner = models.CharField(
        max_length=100, help_text="team or customer; turns, and usage of all its keys, are those of the owner"
    )
    name = models.CharField(max_length=100, help_text="what the key is for")
    prefix = models.CharField(max_length=8, unique=True, editable=False, help_text="public beginning of the key")
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the key, in hexadecimal")
    scope = models.CharField(max_length=9, choices=Scope.choices, default=Scope.INFERENCE)
    pipelines = models.JSONField(default=list, blank=True, help_text="names of pipelines it may use; empty: all")
    routes = models.JSONField(default=list, blank=True, help_text="dialects it may speak; empty: all")
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    units_per_day = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="tokens, images or seconds of recordings, per day in UTC"
    )
    inputs_in_flight = models.PositiveIntegerField(null=True, blank=True)
    max_deadline_s = models.FloatField(null=True, blank=True, help_text="longest deadline that a request may set")
    priority = models.PositiveSmallIntegerField(
        default=USUAL_PRIORITY,
        validators=[MinValueValidator(LOWEST_PRIORITY), MaxValueValidator(HIGHEST_PRIORITY)],
        help_text="0 to 9; of waiting inputs, those of a higher priority are sent first",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering: ClassVar = ["owner", "name", "-created_at"]

    def __str__(self) -> str:
        return f"{self.owner}: {self.name} ({self.prefix})"

    def save(self, *args: Any, **options: Any) -> None:
        """Web processes see the change within two seconds. One that is made in another way takes up to a minute."""
        using = options.get("using") or router.db_for_write(ApiKey, instance=self)
        with transaction.atomic(using=using):
            super().save(*args, **options)
            Stamp.renew(using)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        using = options.get("using") or router.db_for_write(ApiKey, instance=self)
        with transaction.atomic(using=using):
            deleted = super().delete(*args, **options)
            Stamp.renew(using)
        return deleted

    def works(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
