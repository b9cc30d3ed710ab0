"""The chain of one writer of the request log."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import router, transaction

from inference.models import AuditChain, InferenceRequest
from inference.request_log.audit import canonical, signing

logger = logging.getLogger("inference.audit")
MOST_WITNESSED = 100


class Head(NamedTuple):
    chain: int
    number: int
    hash: str


class ChainWriter:
    """Chains rows, on the writer thread. Head and rows are one transaction, so a crash leaves both or none.

    Numbers of requests that were dropped are left out, which the hash of the next row covers: the chain itself says
    how many are missing, and where.
    """

    def __init__(self) -> None:
        self._signer = signing.current()
        self._head: Head | None = None
        self._lost: Head | None = None
        """Where this writer had left a chain that somebody else has changed."""
        self._unconfirmed: Head | None = None
        """Where the chain is if a batch is stored whose commit was not confirmed."""

    def is_written(self) -> bool:
        """Whether the batch before is stored, though its commit was not confirmed.

        Raises:
            Exception: the database failed.
        """
        if self._unconfirmed is None:
            return False
        tried = self._unconfirmed
        chain = AuditChain.objects.get(number=tried.chain)
        self._unconfirmed = None
        if (chain.head_number, chain.head_hash) != (tried.number, tried.hash):
            return False
        self._head = tried
        return True

    @contextmanager
    def chained(self, rows: Sequence[InferenceRequest], gaps: Sequence[int]) -> Iterator[None]:
        """Chains the rows, which the block stores. ``gaps``: requests dropped before each."""
        if not rows:
            yield
            return
        before = self._head or self._begin()
        after = self._seal(rows, gaps, before)
        entered = False
        try:
            with transaction.atomic(using=router.db_for_write(AuditChain)):
                if not self._advance(before, after):
                    self._head, self._lost = None, before
                    raise ChainChanged(before.chain)
                entered = True
                yield
        except Exception:
            if entered:
                self._unconfirmed = after
            raise
        self._head = after

    def rejected(self) -> None:
        """The database answered that it took nothing of the batch."""
        self._unconfirmed = None

    def _seal(self, rows: Sequence[InferenceRequest], gaps: Sequence[int], before: Head) -> Head:
        chain, number, last = before
        salts = os.urandom(16 * len(rows)).hex()
        for index, (row, gap) in enumerate(zip(rows, gaps, strict=True)):
            number += gap + 1
            row.audit_chain, row.audit_number, row.audit_salt = chain, number, salts[32 * index : 32 * index + 32]
            values = row.__dict__
            last = row.audit_hash = self._signer.row(last, canonical.covered(values, canonical.erasable_digest(values)))
        return Head(chain, number, last)

    def _advance(self, before: Head, after: Head) -> bool:
        """False if the head is not what this writer has left."""
        chain = AuditChain(number=after.chain, head_number=after.number, head_hash=after.hash)
        stored = AuditChain.objects.filter(number=before.chain, head_number=before.number, head_hash=before.hash)
        return bool(
            stored.update(
                head_number=after.number,
                head_hash=after.hash,
                head_at=datetime.now(UTC),
                head_signature=self._signer.head(chain),
            )
        )

    def _begin(self) -> Head:
        """A new chain, entered in the registry. It states where other chains were, and its own writer's one before."""
        with transaction.atomic(using=router.db_for_write(AuditChain)):
            now = datetime.now(UTC)
            registry = self._registry(now)
            chain = AuditChain(number=registry.head_number + 1, begun_at=now, head_at=now)
            chain.witnessed = self._heads(registry.head_at)
            if self._lost is not None:
                chain.witnessed[str(self._lost.chain)] = [self._lost.number, self._lost.hash]
            chain.opening = chain.head_hash = self._signer.opening(chain, registry.head_hash)
            chain.head_signature = self._signer.head(chain)
            chain.save()
            registry.head_number, registry.head_hash, registry.head_at = chain.number, chain.opening, now
            registry.head_signature = self._signer.head(registry)
            registry.save()
        logger.info("The audit chain %d begins with %s", chain.number, chain.opening)
        self._head, self._lost = Head(chain.number, 0, chain.opening), None
        return self._head

    def _registry(self, now: datetime) -> AuditChain:
        registry = AuditChain(number=AuditChain.REGISTRY, begun_at=now, head_at=now, head_hash=signing.NOTHING)
        registry.opening = registry.head_signature = signing.NOTHING
        defaults = {name: getattr(registry, name) for name in ("begun_at", "head_at", "head_hash", "opening")}
        AuditChain.objects.get_or_create(
            number=AuditChain.REGISTRY, defaults=defaults | {"head_signature": self._signer.head(registry)}
        )
        return AuditChain.objects.select_for_update().get(number=AuditChain.REGISTRY)

    def _heads(self, since: datetime) -> dict[str, list[int | str]]:
        """Of chains that went on since the last one began."""
        moved = AuditChain.objects.filter(head_at__gte=since - timedelta(minutes=1)).exclude(number=AuditChain.REGISTRY)
        return {str(c.number): [c.head_number, c.head_hash] for c in moved.order_by("-head_at")[:MOST_WITNESSED]}

    def close(self) -> None:
        if self._head is not None:
            logger.info("The audit chain %d ends at %d with %s", *self._head)


class ChainChanged(Exception):
    """Somebody else has changed the head of a chain, or removed it."""

    def __init__(self, chain: int) -> None:
        super().__init__(
            f"the audit chain {chain} is not as this process left it: somebody else has changed it. "
            "A new chain begins; `manage.py verify_audit` says more"
        )
