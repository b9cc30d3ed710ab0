"""Whether the rows of one chain are those that were written."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from inference.models import AuditChain, InferenceRequest
from inference.request_log.audit import canonical, signing
from inference.request_log.audit.signing import Signer

PAGE_ROWS = 5_000


@dataclass(slots=True)
class Totals:
    chains: int = 0
    rows: int = 0
    dropped: int = 0
    """Requests of which the chains themselves say that they were never written."""
    pruned: int = 0
    erased: int = 0


class ChainWalk:
    """Along the rows by their numbers, a page at a time."""

    def __init__(self, chain: AuditChain, signer: Signer, totals: Totals) -> None:
        self._chain, self._signer, self._totals = chain, signer, totals
        self._number, self._last = chain.pruned_number, chain.pruned_hash or chain.opening
        self._id = 0

    def findings(
        self, required: dict[int, str], since: datetime | None, until: datetime | None
    ) -> Iterator[str | None]:
        """``None`` after each page. ``required``: hashes that rows must have, by number."""
        yield from self._notes()
        if since is not None:
            self._skip_to(since)
        required = {number: last for number, last in required.items() if number > self._number}
        if self._chain.head_number > self._number:
            required.setdefault(self._chain.head_number, self._chain.head_hash)
        ended = self._first_after(until)
        while rows := self._page():
            for row in rows:
                yield from self._check_row(row, required)
                if ended is not None and row["audit_number"] >= ended:
                    return  # its hash covers the end of the period
            yield None
        if required:
            yield f"Chain {self._chain.number}: its end was removed; row {max(required)} is missing."

    def _notes(self) -> Iterator[str]:
        chain = self._chain
        if signing.signer_of(chain.head_signature, lambda one: one.head(chain)) is None:
            yield f"Chain {chain.number}: its head was changed."
        if (chain.pruned_number or chain.pruned_rows) and not _is_signed(chain):
            yield f"Chain {chain.number}: the note of what was pruned was changed."
        strange = Q(audit_number__lte=chain.pruned_number) | Q(audit_number__isnull=True)
        for number, request_id in self._rows().filter(strange).values_list("audit_number", "request_id"):
            yield f"Chain {chain.number}: row {number} (request {request_id}) was inserted."

    def _rows(self) -> QuerySet[InferenceRequest]:
        return InferenceRequest.objects.filter(audit_chain=self._chain.number).order_by("audit_number", "id")

    def _skip_to(self, since: datetime) -> None:
        """Begin after the last row before the period, whose hash is taken as it is."""
        first = self._rows().filter(received_at__gte=since).first()
        before = self._rows().filter(audit_number__lt=first.audit_number) if first else self._rows()
        row = before.last()
        if row is not None and row.audit_number is not None:
            self._number, self._last, self._id = row.audit_number, row.audit_hash, row.pk

    def _first_after(self, until: datetime | None) -> int | None:
        """The number of the first row after all that were received in the period."""
        if until is None:
            return None
        last = self._rows().filter(received_at__lte=until).last()
        after = self._rows().filter(audit_number__gt=last.audit_number) if last else self._rows()
        row = after.first()
        return row.audit_number if row else None

    def _page(self) -> list[dict[str, Any]]:
        # A second row of the same number comes, too, if somebody has removed the constraint.
        after = Q(audit_number__gt=self._number) | Q(id__gt=self._id)
        rows = self._rows().filter(after, audit_number__gte=self._number)
        return list(rows.values(*canonical.COLUMNS)[:PAGE_ROWS])

    def _check_row(self, row: dict[str, Any], required: dict[int, str]) -> Iterator[str]:
        self._totals.rows += 1
        number, before = row["audit_number"], self._number
        where = f"Chain {self._chain.number}, row {number} (request {row['request_id']})"
        covered, noted = self._covered(row)
        if self._signer.row(self._last, covered) != row["audit_hash"]:
            if not self._pruned_meanwhile(row, covered):
                yield f"{where}: it was changed or inserted, or rows between {before} and it were changed or removed."
        elif not noted:
            yield f"{where}: texts were removed without a signed note, so not by prune_requests."
        else:
            self._totals.dropped += number - before - 1
        for place in [place for place in required if place <= number]:
            if required.pop(place) != row["audit_hash"] or place != number:
                yield f"{where}: row {place} was another one when it was the last."
        self._number, self._last, self._id = number, row["audit_hash"], row["id"]

    def _covered(self, row: dict[str, Any]) -> tuple[bytes, bool]:
        """What the hash should cover, and whether texts that are missing were erased rightfully."""
        try:
            digest, noted = self._erasable(row)
            return canonical.covered(row, digest), noted
        except (ValueError, TypeError):  # SQLite stores any value in any column
            return b"", True

    def _erasable(self, row: dict[str, Any]) -> tuple[str, bool]:
        """The digest of what may be erased, and whether a note of an erasure is signed."""
        if not row["audit_erased"]:
            return canonical.erasable_digest(row), True
        digest, moment, signature = [*row["audit_erased"].split(" "), "", "", ""][:3]
        self._totals.erased += 1
        signer = signing.signer_of(signature, lambda one: one.erasure(row["audit_hash"], digest, moment))
        return digest, signer is not None and canonical.erased(row)

    def _pruned_meanwhile(self, row: dict[str, Any], covered: bytes) -> bool:
        """Whether rows before this one were pruned while this ran."""
        now = AuditChain.objects.filter(number=self._chain.number).first()
        if now is None or not self._number < now.pruned_number < row["audit_number"] or not _is_signed(now):
            return False
        return bool(self._signer.row(now.pruned_hash, covered) == row["audit_hash"])


def _is_signed(chain: AuditChain) -> bool:
    return signing.signer_of(chain.pruned_signature, lambda one: one.pruned(chain)) is not None
