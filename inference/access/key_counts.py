"""What one key has used of its limits, as far as a web process knows. No I/O."""

from inference.access.window import Window


class KeyCounts:
    """Figures of this process, and of the others as they told them last.

    Args:
        number: no other object of this process has it.
        units: used today before this process began to count.
    """

    __slots__ = (
        "asked_at",
        "in_flight",
        "in_flight_elsewhere",
        "number",
        "requests",
        "requests_elsewhere",
        "requests_so_far",
        "units",
        "units_elsewhere",
        "units_when_parted",
    )

    def __init__(self, number: int, units: int = 0) -> None:
        self.number = number
        self.asked_at = 0.0
        self.requests, self.requests_elsewhere = Window(), Window()
        self.requests_so_far = 0
        """All of this process."""
        self.units, self.units_elsewhere = 0, units
        """Of today, reserved ones included."""
        self.in_flight, self.in_flight_elsewhere = 0, 0
        self.units_when_parted = units
        """All that were known when the processes lost contact."""

    @property
    def units_of_all(self) -> int:
        return self.units + self.units_elsewhere

    def requests_left(self, limit: int, now: float, share: int) -> int:
        """Until the limit of a minute is reached.

        Args:
            share: of how many processes this one has to keep to its part of the limit; 1 while they are in contact.
        """
        own = self.requests.number(now)
        left = limit - own - self.requests_elsewhere.number(now)
        return max(0, left if share == 1 else min(left, _part(limit, share) - own))

    def units_left(self, limit: int, share: int) -> int:
        """Until the limit of a day is reached."""
        used = self.units_of_all
        if share > 1:
            limit = self.units_when_parted + max(0, limit - self.units_when_parted) // share
        return max(0, limit - used)

    def inputs_left(self, limit: int, share: int) -> int:
        """Until the limit of inputs in flight is reached."""
        if share > 1:  # what others have in flight is not known any more
            return max(0, _part(limit, share) - self.in_flight)
        return max(0, limit - self.in_flight - self.in_flight_elsewhere)

    def seconds_until_request(self, now: float) -> int:
        """Whole seconds until the oldest request of the last minute does not count any more."""
        waits = (self.requests.seconds_until_fewer(now), self.requests_elsewhere.seconds_until_fewer(now))
        return min((wait for wait in waits if wait), default=0)

    def idle(self, now: float) -> bool:
        """Nothing but today's units is known of it."""
        return not (self.in_flight or self.requests.number(now) or self.requests_elsewhere.number(now))

    def begin_day(self) -> None:
        self.units = self.units_elsewhere = self.units_when_parted = 0


def _part(limit: int, share: int) -> int:
    """At least one: a process cannot answer a part of a request."""
    return max(1, limit // share)
