"""Permits: how many inputs a web process holds at once, and how many of them one client may have. No I/O."""

from collections import Counter

from inference.scheduling.calls import Peer

MAX_SHARE = 7 / 8
"""Of the permits that others leave. One busy address holds at most 7/8 of all permits, two 7/15 each, three 7/22 each,
so some are always left for the next client. The same applies to the connections of an address."""


class Permits:
    """Permits in use, by address and connection.

    An address may hold ``MAX_SHARE`` of what other addresses leave, and a connection ``MAX_SHARE`` of what the other
    connections of its address leave of that; each may hold at least one. While no permits are in use, a request may
    take all. Nothing is stored about clients without permits. The method is dynamic thresholds for shared buffers
    (Choudhury and Hahne, 1998, https://doi.org/10.1109/90.664262).
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.in_use = 0
        self._by_address: Counter[str] = Counter()
        self._by_peer: Counter[Peer] = Counter()
        self._connections: Counter[str] = Counter()

    def acquire(self, peer: Peer, inputs: int) -> None:
        """Take permits. The caller has checked ``shortfall``."""
        if not inputs:
            return
        self.in_use += inputs
        self._connections[peer.address] += peer not in self._by_peer
        self._by_address[peer.address] += inputs
        self._by_peer[peer] += inputs

    def release(self, peer: Peer, inputs: int) -> None:
        if not inputs:
            return
        self.in_use -= inputs
        self._by_address[peer.address] -= inputs
        self._by_peer[peer] -= inputs
        if not self._by_peer[peer]:
            del self._by_peer[peer]
            self._connections[peer.address] -= 1
        if not self._connections[peer.address]:
            del self._by_address[peer.address], self._connections[peer.address]

    def shortfall(self, peer: Peer, inputs: int) -> int:
        """How many permits must be released before this peer may have ``inputs`` more; 0 if it may now."""
        of_address, of_peer = self._by_address[peer.address], self._by_peer[peer]
        shortfall = self.in_use + inputs - self.total
        if self.in_use:
            limit_of_address = _max_share(self.total - (self.in_use - of_address))
            limit_of_peer = _max_share(limit_of_address - (of_address - of_peer))
            shortfall = max(shortfall, of_address + inputs - limit_of_address, of_peer + inputs - limit_of_peer)
        return max(0, shortfall)

    def inputs_until_answered(self, peer: Peer, inputs: int) -> int:
        """Upper bound of the inputs answered, in turns, until ``inputs`` more of this peer are, including these."""
        connections = self._connections[peer.address] + (peer not in self._by_peer)
        of_connection = connections * (self._by_peer[peer] + inputs)
        of_address = min(self._by_address[peer.address] + inputs, of_connection)
        addresses = len(self._by_address) + (peer.address not in self._by_address)
        return min(self.in_use + inputs, addresses * of_address)


def _max_share(available: int) -> int:
    return max(1, round(MAX_SHARE * available))
