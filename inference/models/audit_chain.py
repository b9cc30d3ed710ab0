"""The heads of the chains of the audit."""

from typing import ClassVar

from django.db import models


class AuditChain(models.Model):
    """One chain of rows of the request log, written by one web process: see ``request_log.audit``.

    Chain 0 is the registry: its "rows" are the chains themselves.
    """

    REGISTRY = 0

    number = models.BigIntegerField(unique=True)
    begun_at = models.DateTimeField()
    opening = models.CharField(max_length=64, help_text="signature of what the chain begins with")
    witnessed = models.JSONField(default=dict, help_text="heads of other chains when this one began")
    head_number = models.BigIntegerField(default=0, help_text="place of the last row")
    head_hash = models.CharField(max_length=64)
    head_at = models.DateTimeField()
    head_signature = models.CharField(max_length=64)
    pruned_number = models.BigIntegerField(default=0, help_text="place of the last row that was pruned")
    pruned_hash = models.CharField(max_length=64, blank=True, default="")
    pruned_rows = models.BigIntegerField(default=0, help_text="how many rows were pruned, in all")
    pruned_at = models.DateTimeField(null=True)
    pruned_signature = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        verbose_name = "audit chain"
        ordering: ClassVar = ["number"]
        default_permissions: ClassVar = []

    def __str__(self) -> str:
        return f"chain {self.number}"
