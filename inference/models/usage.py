"""What callers have used."""

from typing import ClassVar

from django.db import models


class Usage(models.Model):
    """Requests of one key to one pipeline on one day, in UTC. Written by ``request_log``, shown in the admin.

    It names the key and its owner itself, so that it can be read when the key is gone.
    """

    day = models.DateField()
    key = models.CharField(max_length=8, blank=True, help_text="prefix of the key; empty without keys")
    name = models.CharField(max_length=100, blank=True, help_text="what the key is for")
    owner = models.CharField(max_length=100, blank=True, help_text="owner of the key")
    pipeline = models.CharField(max_length=200, blank=True, help_text="name of the pipeline")
    requests = models.PositiveBigIntegerField(default=0, help_text="all that arrived, whatever became of them")
    inputs = models.PositiveBigIntegerField(default=0, help_text="inputs of answered requests")
    units = models.PositiveBigIntegerField(
        default=0, help_text="tokens read and generated, images, or seconds of recordings"
    )
    model_ms = models.FloatField(default=0, help_text="the requests' share of the model's time, in milliseconds")
    refused = models.PositiveBigIntegerField(default=0, help_text="requests that were refused before they ran")
    failed = models.PositiveBigIntegerField(default=0, help_text="requests that were accepted and not answered")
    cancelled = models.PositiveBigIntegerField(default=0, help_text="requests that their client gave up")

    class Meta:
        verbose_name = verbose_name_plural = "usage"
        ordering: ClassVar = ["-day", "owner", "key", "pipeline"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["day", "key", "pipeline"], name="one_usage_per_day")]
        indexes: ClassVar = [
            models.Index(fields=["owner", "day"]),
            models.Index(fields=["key", "day"]),
            models.Index(fields=["pipeline", "day"]),
        ]

    def __str__(self) -> str:
        return f"{self.owner or 'anyone'}, {self.pipeline or 'no pipeline'}, {self.day}"
