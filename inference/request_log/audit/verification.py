"""Proves that no row of the audited request log was changed, removed or inserted, or says which."""

from collections.abc import Iterator
from datetime import datetime

from inference.request_log.audit.chain_walk import ChainWalk, Totals
from inference.request_log.audit.registry_check import Heads, RegistryCheck, rows_of_no_chain


class Verification:
    """Of the rows received in a period; without one, of all that there must be. Nothing is kept of rows."""

    def __init__(
        self, *, since: datetime | None = None, until: datetime | None = None, known: Heads | None = None
    ) -> None:
        """``known``: heads of an earlier verification, which were kept outside of the database."""
        self.totals = Totals()
        self._since, self._until = since, until
        self._registry = RegistryCheck(known or {})

    @property
    def heads(self) -> Heads:
        return {number: (chain.head_number, chain.head_hash) for number, chain in self._registry.chains.items()}

    def findings(self) -> Iterator[str | None]:
        """One sentence for each; ``None`` now and then, so that one can show how far it is."""
        registry = self._registry
        yield from registry.findings()
        for number, signer in registry.signers.items():
            self.totals.chains += 1
            chain = registry.chains[number]
            self.totals.pruned += chain.pruned_rows
            walk = ChainWalk(chain, signer, self.totals)
            yield from walk.findings(registry.required.get(number, {}), self._since, self._until)
        yield from rows_of_no_chain(registry.chains, self._since, self._until)
