"""Quantiles of times, from counts that can be added: buckets whose bounds grow by a constant factor.

These are the buckets of DDSketch, without a bound on their number, which the range of a time bounds already: from
0.01 ms to an hour there are 493.
"""

import math
from collections.abc import Mapping, MutableMapping, Sequence

ACCURACY = 0.02
"""A quantile is that of the values themselves within 2 %: the value at rank ``floor(q * (n - 1))``, from 0."""
SHORTEST_MS = 0.01
"""Shorter times count as this."""
_FACTOR = (1 + ACCURACY) / (1 - ACCURACY)
_BUCKETS_PER_E = 1 / math.log(_FACTOR)

Counts = Mapping[int, int]
"""Values by bucket."""


def bucket(ms: float) -> int:
    """Raises ``OverflowError`` or ``ValueError`` for what is no time."""
    return math.ceil(math.log(max(ms, SHORTEST_MS)) * _BUCKETS_PER_E)


def merge(into: MutableMapping[int, int], counts: Counts) -> None:
    if not into:
        into.update(counts)
        return
    known = into.get
    for number, count in counts.items():
        into[number] = known(number, 0) + count


def quantiles(counts: Counts, parts: Sequence[float]) -> list[float | None]:
    """In milliseconds; ``parts`` are from 0 to 1, in ascending order. ``None`` without values."""
    last = sum(counts.values()) - 1
    if last < 0:
        return [None] * len(parts)
    found: list[float | None] = []
    ordered = iter(sorted(counts.items()))
    passed, current = 0, 0
    for part in parts:
        while passed <= int(part * last):
            current, count = next(ordered)
            passed += count
        found.append(2 * _FACTOR**current / (_FACTOR + 1))
    return found
