"""The request log as the database sees it."""

from typing import ClassVar

from django.db import models


class InferenceRequest(models.Model):
    """One client call and how it ended. Written by ``request_log``, read in the admin.

    ``count`` is above 1 for a row that stands for several alike refusals of one second.
    """

    class Transport(models.TextChoices):
        HTTP = "http", "HTTP"
        WEBSOCKET = "websocket", "WebSocket"
        PYTHON = "python", "Python"

    class Status(models.TextChoices):
        OK = "ok", "ok"
        REFUSED = "refused", "refused"
        """Never ran: overloaded, draining, loading, or not a valid request."""
        FAILED = "failed", "failed"
        """Accepted, but answered with an error: deadline, lost workers, the model."""
        CANCELLED = "cancelled", "cancelled"

    request_id = models.CharField(max_length=64, db_index=True)
    received_at = models.DateTimeField(db_index=True)
    transport = models.CharField(max_length=9, choices=Transport.choices)
    client = models.GenericIPAddressField(null=True, blank=True)
    pipeline = models.CharField(max_length=200, blank=True, help_text="model, as its worker named it")
    inputs = models.PositiveIntegerField(default=0, help_text="how many")
    preview = models.TextField(blank=True, help_text="beginning of the first input, or all (INFERENCE_LOG_INPUTS)")
    status = models.CharField(max_length=9, choices=Status.choices)
    code = models.CharField(max_length=32, blank=True, help_text="error_type of the answer; empty when ok")
    message = models.TextField(blank=True, help_text="the sentence that the client got")
    times_sent = models.PositiveIntegerField(default=0, help_text="to a worker; above 1 after a worker was lost")
    worker = models.CharField(max_length=32, blank=True)
    batch_size = models.PositiveIntegerField(default=0, help_text="largest batch that an input was in")
    queue_ms = models.FloatField(null=True, blank=True)
    inference_ms = models.FloatField(null=True, blank=True)
    total_ms = models.FloatField()
    count = models.PositiveIntegerField(default=1, help_text="alike refusals that share this row")

    class Meta:
        ordering: ClassVar = ["-received_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["status", "-received_at"]),
            models.Index(fields=["transport", "-received_at"]),
            models.Index(fields=["pipeline", "-received_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.status}"
