"""The request log."""

from typing import ClassVar

from django.db import models


class InferenceRequest(models.Model):
    """One client call and its outcome. Written by ``request_log``, shown in the admin.

    ``count`` is above 1 if the row stands for several similar refusals within one second. Columns with a default of the
    database are unknown to processes of a release before, which write rows without them during an upgrade.
    """

    class Transport(models.TextChoices):
        HTTP = "http", "HTTP"
        WEBSOCKET = "websocket", "WebSocket"
        PYTHON = "python", "Python"

    class Status(models.TextChoices):
        OK = "ok", "ok"
        REFUSED = "refused", "refused"
        """Rejected before it ran: overloaded, draining, loading, or an invalid request."""
        FAILED = "failed", "failed"
        """Accepted, but answered with an error: deadline, lost workers, a failure of the model."""
        CANCELLED = "cancelled", "cancelled"

    request_id = models.CharField(max_length=64, db_index=True)
    received_at = models.DateTimeField(db_index=True)
    transport = models.CharField(max_length=9, choices=Transport.choices)
    dialect = models.CharField(
        max_length=32, blank=True, default="", db_default="", help_text="whose route was asked, such as openai"
    )
    key = models.CharField(max_length=8, blank=True, default="", db_default="", help_text="prefix of the key")
    owner = models.CharField(max_length=100, blank=True, default="", db_default="", help_text="owner of the key")
    client = models.GenericIPAddressField(null=True, blank=True)
    pipeline = models.CharField(max_length=200, blank=True, help_text="name of the pipeline")
    version = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="version of the model",
    )
    inputs = models.PositiveIntegerField(default=0, help_text="number of inputs")
    preview = models.TextField(
        blank=True, help_text="beginning of the first input, or all inputs (INFERENCE_LOG_INPUTS)"
    )
    parameters = models.TextField(
        blank=True, default="", db_default="", help_text="of the call, as JSON (INFERENCE_LOG_INPUTS)"
    )
    complete = models.BooleanField(
        default=False, db_default=False, help_text="inputs and parameters are kept as they were sent"
    )
    again_of = models.CharField(
        max_length=64, null=True, blank=True, default=None, help_text="id of the request that this one repeats"
    )
    trace_id = models.CharField(
        max_length=32, null=True, blank=True, default=None, help_text="of the trace that the client sent"
    )
    status = models.CharField(max_length=9, choices=Status.choices)
    code = models.CharField(max_length=32, blank=True, help_text="error_type of the answer; empty if ok")
    message = models.TextField(blank=True, help_text="error message of the answer")
    answer = models.TextField(
        blank=True, default="", db_default="", help_text="beginning of the answer (INFERENCE_LOG_INPUTS)"
    )
    times_sent = models.PositiveIntegerField(
        default=0, help_text="how often an input was sent to a worker; above 1 after a loss"
    )
    worker = models.CharField(max_length=32, blank=True)
    batch_size = models.PositiveIntegerField(
        default=0, help_text="size of the largest batch with an input of the request"
    )
    queue_ms = models.FloatField(null=True, blank=True)
    inference_ms = models.FloatField(null=True, blank=True)
    model_ms = models.FloatField(null=True, blank=True, help_text="share of the model's time that its inputs had")
    units = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="tokens read and generated, images, or seconds of recordings"
    )
    total_ms = models.FloatField()
    admitted_ms = models.FloatField(null=True, blank=True, help_text="from its arrival until it was admitted")
    sent_ms = models.FloatField(null=True, blank=True, help_text="until its first input was sent to a worker")
    started_ms = models.FloatField(null=True, blank=True, help_text="until its first input entered the model")
    first_token_ms = models.FloatField(null=True, blank=True, help_text="until the first generated token")
    count = models.PositiveIntegerField(default=1, help_text="number of refusals that this row stands for")

    # With INFERENCE_AUDIT=chain: see ``request_log.audit``.
    audit_chain = models.BigIntegerField(null=True, editable=False)
    audit_number = models.BigIntegerField(null=True, editable=False, help_text="place in the chain")
    audit_hash = models.CharField(
        max_length=64, blank=True, default="", db_default="", editable=False, help_text="of the row and the one before"
    )
    audit_salt = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="of the digest of erasable texts",
    )
    audit_erased = models.CharField(
        max_length=200, blank=True, default="", db_default="", editable=False, help_text="note of an erasure, signed"
    )

    class Meta:
        ordering: ClassVar = ["-received_at", "-id"]
        permissions: ClassVar = [
            ("view_inputs", "Can view inputs in the request log"),
            ("run_again", "Can run requests of the log again"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["audit_chain", "audit_number"],
                condition=models.Q(audit_chain__isnull=False),  # so that the index costs nothing without an audit
                name="inference_request_audit",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["status", "-received_at"]),
            models.Index(fields=["transport", "-received_at"]),
            models.Index(fields=["pipeline", "-received_at"]),
            models.Index(fields=["version", "-received_at"]),
            models.Index(fields=["key", "-received_at"]),
            models.Index(fields=["owner", "-received_at"]),
            models.Index(fields=["client", "-received_at"]),
            models.Index(fields=["code", "-received_at"]),
            # Most rows have neither.
            models.Index(
                fields=["trace_id"], condition=models.Q(trace_id__isnull=False), name="inference_request_trace"
            ),
            models.Index(
                fields=["again_of"], condition=models.Q(again_of__isnull=False), name="inference_request_again"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.status}"
