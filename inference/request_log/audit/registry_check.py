"""Whether the chains that are there are those that were begun."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from inference.models import AuditChain, InferenceRequest
from inference.request_log.audit import signing
from inference.request_log.audit.signing import Signer

Heads = dict[int, tuple[int, str]]
"""Number and hash of a row, by chain."""


class RegistryCheck:
    """Reads all chains. Each opening is signed with the one before, and the registry's head with the last."""

    def __init__(self, known: Heads) -> None:
        """``known``: heads that there must have been."""
        self.chains = {chain.number: chain for chain in AuditChain.objects.all()}
        self.signers: dict[int, Signer] = {}
        """Of the chains whose opening is as it was written."""
        self.required: dict[int, dict[int, str]] = {}
        """Hashes that rows must have, by chain and number."""
        self._registry = self.chains.pop(AuditChain.REGISTRY, None)
        for chain, (number, last) in known.items():
            self.required.setdefault(chain, {})[number] = last

    def findings(self) -> Iterator[str]:
        registry = self._registry
        if registry is None and (self.chains or self.required):
            yield "The registry of chains was removed."
        if registry and signing.signer_of(registry.head_signature, lambda signer: signer.head(registry)) is None:
            yield "The registry of chains was changed, or signed with another DJANGO_SECRET_KEY."
        before: str | None = signing.NOTHING
        for number in range(1, self._last() + 1):
            chain = self.chains.get(number)
            if chain is None:
                yield f"Chain {number} was removed."
            elif before is not None:
                yield from self._check_opening(chain, before)
            else:
                yield f"Chain {number} cannot be verified without the chain before."
            before = chain.opening if chain else None
        if registry and before is not None and before != registry.head_hash:
            yield "The registry of chains does not end with the last chain."

    def _last(self) -> int:
        return max([self._registry.head_number if self._registry else 0, *self.chains, *self.required])

    def _check_opening(self, chain: AuditChain, before: str) -> Iterator[str]:
        signer = signing.signer_of(chain.opening, lambda one: one.opening(chain, before))
        if signer is None:
            yield f"The opening of chain {chain.number} was changed, or signed with another DJANGO_SECRET_KEY."
            return
        self.signers[chain.number] = signer
        for other, (number, last) in chain.witnessed.items():
            self.required.setdefault(int(other), {})[number] = last


def rows_of_no_chain(chains: Mapping[int, AuditChain], since: datetime | None, until: datetime | None) -> Iterator[str]:
    """Since the first chain began, all rows should be in one."""
    rows = InferenceRequest.objects.order_by()
    for number in rows.filter(audit_chain__isnull=False).values_list("audit_chain", flat=True).distinct():
        if number not in chains:
            yield f"There are rows of chain {number}, which was never begun, or was removed."
    first = min((chain.begun_at for chain in chains.values()), default=None)
    if first is None:
        return
    loose = rows.filter(audit_chain__isnull=True, received_at__gte=max(first, since) if since else first)
    loose = loose.filter(received_at__lte=until) if until else loose
    for request_id, received_at in loose.values_list("request_id", "received_at").iterator():
        yield (
            f"Request {request_id} of {received_at:%Y-%m-%d %H:%M:%S} is in no chain: its row was inserted, or written "
            "by a process without INFERENCE_AUDIT=chain."
        )
