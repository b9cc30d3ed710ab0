"""Permits: places for inputs in one web process, and fair shares of them. Pure."""

from collections import Counter, OrderedDict

from inference.calls import Peer

SMALLEST_SHARE = 1 / 32
"""Of all permits: however many ask, who has no more than this does not take too much."""
MOST_RESERVED = 1 / 2
"""Of all permits: so many at most are kept for those who are expected; they may never come."""
MOST_EXPECTED = 10_000


class Permits:
    """Whoever comes first may take all, but then others are kept out; so room is made for those.

    A peer that was turned away although it asked for no more than a fair share is expected back by the moment that it
    was told. Until then others must leave room for it, unless they want next to nothing. Shares are equal between the
    addresses, and between one address's connections, that are inside or expected. Moments are of the caller's
    monotonic clock.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._smallest = max(1, int(total * SMALLEST_SHARE))
        self._by_address: Counter[str] = Counter()
        self._by_peer: Counter[Peer] = Counter()
        self._connections: Counter[str] = Counter()
        self._expected: OrderedDict[Peer, tuple[float, int]] = OrderedDict()
        self._expected_of: Counter[str] = Counter()
        self._reserved = 0

    def take(self, peer: Peer, inputs: int) -> None:
        """Whether they should be given is for the caller to decide, by ``missing``."""
        self._forget(peer)
        self.taken += inputs
        self._connections[peer.address] += peer not in self._by_peer
        self._by_address[peer.address] += inputs
        self._by_peer[peer] += inputs

    def give_back(self, peer: Peer, inputs: int) -> None:
        self.taken -= inputs
        self._by_address[peer.address] -= inputs
        self._by_peer[peer] -= inputs
        if not self._by_peer[peer]:
            del self._by_peer[peer]
            self._connections[peer.address] -= 1
        if not self._connections[peer.address]:
            del self._by_address[peer.address], self._connections[peer.address]

    def missing(self, peer: Peer, inputs: int, now: float) -> int:
        """How many permits must come free before this peer may have so many more; 0 if it may now."""
        while self._expected and next(iter(self._expected.values()))[0] <= now:
            self._forget(next(iter(self._expected)))
        missing = self.taken + inputs - self.total
        if self._reserved and not (self._by_peer[peer] + inputs <= self._smallest and self._modest(peer, inputs)):
            mine = self._expected.get(peer, (0.0, 0))[1]
            missing += min(self._reserved - mine, int(self.total * MOST_RESERVED))
        return max(0, missing)

    def turn_away(self, peer: Peer, inputs: int, until: float) -> None:
        """It was refused, and told to be back by ``until``; who wants more than a share is not waited for."""
        if self._modest(peer, inputs) and len(self._expected) < MOST_EXPECTED:
            self._forget(peer)
            self._expected[peer] = until, inputs
            self._expected_of[peer.address] += 1
            self._reserved += inputs

    def ahead(self, peer: Peer, inputs: int) -> int:
        """Most inputs that are answered, taking turns, until so many more of this peer are, with themselves."""
        connections = self._connections[peer.address] + (peer not in self._by_peer)
        of_connection = connections * (self._by_peer[peer] + inputs)
        of_address = min(self._by_address[peer.address] + inputs, of_connection)
        addresses = len(self._by_address) + (peer.address not in self._by_address)
        return min(self.taken + inputs, addresses * of_address)

    def _modest(self, peer: Peer, inputs: int) -> bool:
        """With so many more it has at most a fair share. (Who is inside and expected counts as two.)"""
        address = peer.address
        new = address not in self._by_address and address not in self._expected_of
        addresses = len(self._by_address) + len(self._expected_of) + new
        if addresses > 1 and self._by_address[address] + inputs > self._share(addresses):
            return False
        new = peer not in self._by_peer and peer not in self._expected
        connections = self._connections[address] + self._expected_of[address] + new
        return self._by_peer[peer] + inputs <= self._share(connections)

    def _share(self, among: int) -> int:
        return max(self._smallest, self.total // among)

    def _forget(self, peer: Peer) -> None:
        _, inputs = self._expected.pop(peer, (0.0, 0))
        if inputs:
            self._reserved -= inputs
            self._expected_of[peer.address] -= 1
            if not self._expected_of[peer.address]:
                del self._expected_of[peer.address]
