"""What operators want of pipelines and hosts. Written by ``control.orders``, read by web processes."""

from typing import ClassVar

from django.db import models


class PipelineControl(models.Model):
    """The newest order for a pipeline. Without a row, it is loaded where a host starts with it."""

    class Order(models.TextChoices):
        LOAD = "load", "load"
        UNLOAD = "unload", "unload"
        RELOAD = "reload", "reload"

    pipeline = models.CharField(max_length=64, unique=True, help_text="name of the pipeline")
    order = models.CharField(max_length=6, choices=Order.choices)
    unload_first = models.BooleanField(default=False, help_text="of a reload: there is no memory for two")
    generation = models.PositiveBigIntegerField(help_text="larger with each order")
    ordered_at = models.DateTimeField(help_text="by the clock of the database")

    class Meta:
        verbose_name = "pipeline"
        ordering: ClassVar = ["pipeline"]

    def __str__(self) -> str:
        return self.pipeline


class HostDrain(models.Model):
    """A host that is to end: it starts again under another id."""

    host = models.CharField(max_length=32, unique=True, help_text="id of the host")
    ordered_at = models.DateTimeField(help_text="by the clock of the database")

    class Meta:
        verbose_name = "host"

    def __str__(self) -> str:
        return self.host
