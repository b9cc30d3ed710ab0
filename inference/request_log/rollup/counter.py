"""What entries of the request log add to roll-ups, by minute, pipeline, key and dialect."""

from collections.abc import Iterable, Iterator

import msgspec

from inference.request_log.entry import Entry
from inference.request_log.preview import storable
from inference.request_log.rollup.figures import Figures

MINUTE_S, HOUR_S = 60, 3600
MOST_BY_MINUTE = 5_000
"""Sums by minute; what comes after them counts in the first minute of its hour. Only a long outage has so many."""
Where = tuple[int, str, str, str]
"""Start of the minute in seconds since the epoch, pipeline, key and dialect."""
_LENGTHS = (200, 8, 32)


class RollUpCounter:
    """Like ``UsageCounter``: its size does not depend on the number of requests."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._sums: dict[Where, Figures] = {}
        for entry in entries:
            self.add(entry)

    def __bool__(self) -> bool:
        return bool(self._sums)

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, entry: Entry) -> None:
        """Raises ``OverflowError`` or ``ValueError`` for a moment or a duration that is none."""
        start = int(entry.received_at // MINUTE_S) * MINUTE_S
        if len(self._sums) >= MOST_BY_MINUTE:
            start -= start % HOUR_S
        self._at((start, entry.pipeline, entry.key, entry.dialect)).add(entry)

    def update(self, other: "RollUpCounter") -> None:
        for where, more in other:
            self._at(where).update(more)

    def __iter__(self) -> Iterator[tuple[Where, Figures]]:
        return iter(self._sums.items())

    def encode(self) -> bytes:
        """Texts are cut to what their columns take."""
        return _encoder.encode([((where[0], *map(_cut, where[1:], _LENGTHS)), sums) for where, sums in self])

    @classmethod
    def decode(cls, data: bytes | memoryview) -> "RollUpCounter":
        counter = cls()
        for where, sums in _decoder.decode(data):
            counter._at(where).update(sums)
        return counter

    def _at(self, where: Where) -> Figures:
        sums = self._sums.get(where)
        if sums is None:
            sums = self._sums[where] = Figures()
        return sums


def _cut(text: str, length: int) -> str:
    return storable(text)[:length]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[tuple[Where, Figures]])
