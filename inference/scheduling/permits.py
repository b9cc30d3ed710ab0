"""Permits: places for inputs in one web process, and how many of them one client may have. Pure."""

from collections import Counter

from inference.scheduling.calls import Peer

SHARE = 7 / 8
"""Of what others leave. One address by itself gets seven eighths, two 7/15 each, three 7/22 each: some are always left
for who comes next. The same again between the connections of an address."""


class Permits:
    """Who has how many inputs inside, and what is left.

    An address may have ``SHARE`` of what other addresses leave, and a connection ``SHARE`` of what its address' other
    connections leave of that; and each of them one. An idle server takes whatever fits. Nothing is remembered of those
    who are not inside. The method is that of dynamic thresholds for shared buffers (Choudhury and Hahne, 1998,
    https://doi.org/10.1109/90.664262).
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._by_address: Counter[str] = Counter()
        self._by_peer: Counter[Peer] = Counter()
        self._connections: Counter[str] = Counter()

    def take(self, peer: Peer, inputs: int) -> None:
        """Whether they should be given is for the caller to decide, by ``missing``."""
        if not inputs:
            return
        self.taken += inputs
        self._connections[peer.address] += peer not in self._by_peer
        self._by_address[peer.address] += inputs
        self._by_peer[peer] += inputs

    def give_back(self, peer: Peer, inputs: int) -> None:
        if not inputs:
            return
        self.taken -= inputs
        self._by_address[peer.address] -= inputs
        self._by_peer[peer] -= inputs
        if not self._by_peer[peer]:
            del self._by_peer[peer]
            self._connections[peer.address] -= 1
        if not self._connections[peer.address]:
            del self._by_address[peer.address], self._connections[peer.address]

    def missing(self, peer: Peer, inputs: int) -> int:
        """How many permits must come free before this peer may have so many more; 0 if it may now."""
        of_address, of_peer = self._by_address[peer.address], self._by_peer[peer]
        missing = self.taken + inputs - self.total
        if self.taken:
            most_of_address = _share(self.total - (self.taken - of_address))
            most_of_peer = _share(most_of_address - (of_address - of_peer))
            missing = max(missing, of_address + inputs - most_of_address, of_peer + inputs - most_of_peer)
        return max(0, missing)

    def ahead(self, peer: Peer, inputs: int) -> int:
        """Most inputs that are answered, taking turns, until so many more of this peer are, with themselves."""
        connections = self._connections[peer.address] + (peer not in self._by_peer)
        of_connection = connections * (self._by_peer[peer] + inputs)
        of_address = min(self._by_address[peer.address] + inputs, of_connection)
        addresses = len(self._by_address) + (peer.address not in self._by_address)
        return min(self.taken + inputs, addresses * of_address)


def _share(of: int) -> int:
    return max(1, round(SHARE * of))
