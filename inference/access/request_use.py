"""What one request uses of the limits of its key. No I/O."""

from typing import TYPE_CHECKING

from inference.access.key_counts import KeyCounts
from inference.access.principal import Limits

if TYPE_CHECKING:
    from inference.access.limits import LimitCounters


class RequestUse:
    """What one request uses of its key's limits, from ``LimitCounters.begin`` until it is left as a context.

    This one is of a caller without limits.
    """

    def take(self, inputs: int, units: int) -> None:
        """Before any work: so many inputs are in flight until the end, and are expected to take so many units.

        Raises:
            LimitReached, PayloadTooLarge: nothing was taken.
        """

    def settle(self, units: int) -> None:
        """So many units it came to; without this call, none."""

    def __enter__(self) -> "RequestUse":
        return self

    def __exit__(self, *_: object) -> None:
        """The request has ended."""


UNLIMITED = RequestUse()


class LimitedUse(RequestUse):
    def __init__(self, counters: "LimitCounters", counts: KeyCounts, limits: Limits) -> None:
        self._counters, self._counts, self._limits = counters, counts, limits
        self._inputs = self._reserved = self._units = 0
        self._day = counters.day

    def take(self, inputs: int, units: int) -> None:
        limits, counters = self._limits, self._counters
        if limits.inputs_in_flight is not None:
            counters.check_inputs(self._counts, limits.inputs_in_flight, inputs)
        if limits.units_per_day is not None:
            self._reserved = counters.reserve(self._counts, limits.units_per_day, units)
            self._day = counters.day
        self._inputs = inputs
        self._counts.in_flight += inputs

    def settle(self, units: int) -> None:
        self._units = units

    def __exit__(self, *_: object) -> None:
        counters, counts = self._counters, self._counts
        counters.begin_day()
        counts.in_flight -= self._inputs
        counts.units += self._units - (self._reserved if self._day == counters.day else 0)
