"""Permits: how many inputs a web process holds at once, and how many of them one client may have. No I/O."""

from collections.abc import Hashable
from typing import TypeVar

from inference.models.api_key import USUAL_PRIORITY
from inference.scheduling.calls import Group, Peer

MAX_SHARE = 7 / 8
"""Of the permits that others leave. One busy owner holds at most 7/8 of all permits, two 7/15 each, three 7/22 each,
so some are always left for the next client. The same applies to the keys of an owner and the connections of a key."""


class Permits:
    """Permits in use, by owner, key and connection.

    An owner (without keys: an address) may hold ``MAX_SHARE`` of what other owners leave, a key ``MAX_SHARE`` of what
    the other keys of its owner leave of that, and so on; each may hold at least one. While no permits are in use, a
    request may take all. Nothing is stored about clients without permits. The method is dynamic thresholds for shared
    buffers (Choudhury and Hahne, 1998, https://doi.org/10.1109/90.664262).
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.in_use = 0
        self._held: dict[Group, int] = {}
        self._members: dict[Group | None, int] = {}
        """How many parts of a group hold permits; of ``None``, how many owners."""
        self._unusual: dict[int, int] = {}
        """Permits of priorities that are not the usual one."""

    def acquire(self, peer: Peer, inputs: int) -> None:
        """Take permits. The caller has checked ``shortfall``."""
        if not inputs:
            return
        self.in_use += inputs
        if peer.priority != USUAL_PRIORITY:
            self._unusual[peer.priority] = self._unusual.get(peer.priority, 0) + inputs
        held = self._held
        parent: Group | None = None
        for group in peer.groups:
            own = held.get(group)
            if own is None:
                own = 0
                self._members[parent] = self._members.get(parent, 0) + 1
            held[group] = own + inputs
            parent = group

    def release(self, peer: Peer, inputs: int) -> None:
        if not inputs:
            return
        self.in_use -= inputs
        if peer.priority != USUAL_PRIORITY:
            _subtract(self._unusual, peer.priority, inputs)
        parent: Group | None = None
        for group in peer.groups:
            if _subtract(self._held, group, inputs):
                _subtract(self._members, parent, 1)
            parent = group

    def shortfall(self, peer: Peer, inputs: int) -> int:
        """How many permits must be released before this peer may have ``inputs`` more; 0 if it may now."""
        shortfall = max(0, self.in_use + inputs - self.total)
        if self.in_use:
            limit, of_parent = self.total, self.in_use
            for group in peer.groups:
                own = self._held.get(group, 0)
                limit = _max_share(limit - of_parent + own)
                if own + inputs - limit > shortfall:
                    shortfall = own + inputs - limit
                of_parent = own
        return shortfall

    def inputs_until_answered(self, peer: Peer, inputs: int) -> int:
        """Upper bound of the inputs answered, in turns, until ``inputs`` more of this peer are, including these.

        Those of higher priorities come first. (That lower ones have a turn now and then is left out.)
        """
        groups, until = peer.groups, self.in_use + inputs
        for place in range(len(groups) - 1, -1, -1):
            group, parent = groups[place], groups[place - 1] if place else None
            own = self._held.get(group)
            if until > inputs + (own or 0):
                until = inputs + (own or 0)
            until *= self._members.get(parent, 0) + (own is None)
        if self._unusual or peer.priority != USUAL_PRIORITY:
            until += self._higher(peer.priority)
        return min(self.in_use + inputs, until)

    def _higher(self, priority: int) -> int:
        """Permits of higher priorities."""
        usual = self.in_use - sum(self._unusual.values())
        return sum(held for other, held in self._unusual.items() if other > priority) + (
            usual if priority < USUAL_PRIORITY else 0
        )


K = TypeVar("K", bound=Hashable)


def _subtract(counts: dict[K, int], name: K, number: int) -> bool:
    """Whether nothing is left, and the count forgotten."""
    left = counts[name] - number
    if left:
        counts[name] = left
        return False
    del counts[name]
    return True


def _max_share(available: int) -> int:
    return max(1, round(MAX_SHARE * available))
