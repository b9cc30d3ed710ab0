"""Times in which no worker is ready, and how long one is expected to last. No I/O."""


class Outage:
    """Times are seconds of the caller's monotonic clock.

    The first outage begins with the process, since no worker is known yet.
    """

    def __init__(self, now: float) -> None:
        self._began_at: float | None = now
        self.last_duration_s = 0.0
        """Of the latest outage that has ended; 0 before the first worker was ready."""

    def update(self, now: float, *, ready: bool) -> None:
        """``ready``: at least one worker is ready."""
        if ready and self._began_at is not None:
            self.last_duration_s, self._began_at = now - self._began_at, None
        elif not ready and self._began_at is None:
            self._began_at = now

    def duration_s(self, now: float) -> float:
        """Of the current outage so far; 0 while a worker is ready."""
        return 0.0 if self._began_at is None else now - self._began_at

    def remaining_s(self, now: float) -> float:
        """Expected: an outage lasts as long as the previous one; after that, its duration doubles."""
        duration_s = self.duration_s(now)
        return self.last_duration_s - duration_s if duration_s < self.last_duration_s else duration_s
