"""What entries of the request log add to the tables beside it: usage and roll-ups."""

from collections.abc import Iterable

from inference.request_log.entry import Entry
from inference.request_log.rollup.counter import RollUpCounter
from inference.request_log.usage import UsageCounter


class Counters:
    """Written in the transaction of the entries' rows, so that all tables say the same."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.usage = UsageCounter()
        self.roll_up = RollUpCounter()
        for entry in entries:
            self.add(entry)

    def __bool__(self) -> bool:
        return bool(self.usage)

    def add(self, entry: Entry) -> None:
        self.usage.add(entry)
        self.roll_up.add(entry)

    def update(self, other: "Counters") -> None:
        self.usage.update(other.usage)
        self.roll_up.update(other.roll_up)
