"""Removing rows and texts of audited rows in a way that the chains can state."""

from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import F, Q, QuerySet

from inference.models import AuditChain, InferenceRequest
from inference.request_log.audit import canonical, signing

CHUNK_ROWS = 5_000
ERASED_ROWS = 500
"""In one transaction."""


def prune(condition: Q) -> Iterator[int]:
    """Delete the rows for which it holds from the beginnings of their chains; yields the size of each chunk.

    A row that follows one that is kept stays: rows are in the order in which requests ended.
    """
    for chain in AuditChain.objects.exclude(number=AuditChain.REGISTRY).filter(head_number__gt=F("pruned_number")):
        rows = InferenceRequest.objects.filter(audit_chain=chain.number)
        kept = rows.exclude(condition).order_by("audit_number").values_list("audit_number", flat=True).first()
        doomed = rows if kept is None else rows.filter(audit_number__lt=kept)
        while deleted := _prune_chunk(chain.number, doomed.filter(audit_number__lte=chain.head_number)):
            yield deleted


def _prune_chunk(number: int, doomed: QuerySet[InferenceRequest]) -> int:
    with transaction.atomic():
        chain = AuditChain.objects.select_for_update().get(number=number)
        left = doomed.filter(audit_number__gt=chain.pruned_number).order_by("audit_number")
        chunk = list(left.values_list("audit_number", "audit_hash")[:CHUNK_ROWS])
        if not chunk:
            return 0
        first, (last, chain.pruned_hash) = chunk[0][0], chunk[-1]
        chain.pruned_number = last or 0
        chain.pruned_rows += len(chunk)
        chain.pruned_at = datetime.now(UTC)
        chain.pruned_signature = signing.current().pruned(chain)
        chain.save(update_fields=["pruned_number", "pruned_hash", "pruned_rows", "pruned_at", "pruned_signature"])
        deleted, _ = InferenceRequest.objects.filter(audit_chain=number, audit_number__range=(first, last)).delete()
    return deleted


def erase(rows: QuerySet[InferenceRequest]) -> Iterator[int]:
    """Erase client and texts of audited rows; yields how many of each chunk."""
    left = rows.filter(audit_chain__isnull=False, audit_erased="").order_by("id")
    last = 0
    while chunk := list(left.filter(id__gt=last)[:ERASED_ROWS]):
        last = chunk[-1].pk
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        for row in chunk:
            digest = canonical.erasable_digest(row.__dict__)
            row.audit_erased = f"{digest} {moment} {signing.current().erasure(row.audit_hash, digest, moment)}"
            row.audit_salt = row.message = row.preview = row.parameters = row.answer = ""
            row.client = None
        changed = [*canonical.ERASABLE, "audit_salt", "audit_erased"]
        with transaction.atomic():
            InferenceRequest.objects.bulk_update(chunk, changed)
        yield len(chunk)
