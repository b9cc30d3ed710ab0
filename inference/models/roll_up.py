"""Roll-ups of the request log: what a page of a month is made of."""

from typing import ClassVar

from django.db import models


class RollUp(models.Model):
    """What the requests of one minute, hour or day came to. Written by ``request_log.rollup``, shown in the admin.

    There are rows of each combination of pipeline, key and dialect, and rows that sum those up, in which one or more of
    the three are ``*``. The admin shows them as the dashboard.
    """

    ALL = "*"
    """Instead of a pipeline, key or dialect. None is called so."""
    LOCK = 0
    """Span of the row that is locked while others are changed."""

    span = models.PositiveIntegerField(help_text="seconds: 60, 3600 or 86400")
    start = models.BigIntegerField(help_text="seconds since 1970, UTC; a multiple of the span")
    pipeline = models.CharField(max_length=200, blank=True)
    key = models.CharField(max_length=8, blank=True)
    dialect = models.CharField(max_length=32, blank=True)
    requests = models.PositiveBigIntegerField(default=0)
    figures = models.BinaryField(help_text="request_log.rollup.figures.Figures, as MessagePack")

    class Meta:
        verbose_name = verbose_name_plural = "dashboard"
        default_permissions: ClassVar = ["view"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["span", "start", "pipeline", "key", "dialect"], name="one_roll_up"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["span", "pipeline", "key", "dialect", "start"], name="inference_rollup_series"),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline}, {self.key}, {self.dialect}: {self.span} s from {self.start}"


class RollUpDelta(models.Model):
    """What a batch of the request log adds to roll-ups. It is gone as soon as it is in them."""

    figures = models.BinaryField(help_text="request_log.rollup.counter, as MessagePack")

    class Meta:
        default_permissions: ClassVar = []

    def __str__(self) -> str:
        return f"delta {self.pk}"
