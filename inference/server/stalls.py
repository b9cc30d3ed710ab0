"""Whether bytes keep moving, in either direction."""

LEAST_BYTES_PER_S = 1024
"""What counts as progress: a mean over the time since the last progress."""


class StallDetector:
    """A stream stalls when it makes no progress for ``stall_s`` seconds. To be looked at every ``look_every_s``."""

    def __init__(self, stall_s: float, moved: int) -> None:
        self.look_every_s = stall_s / 10
        self.progresses = True
        """Whether it did when it was last looked at."""
        self._stall_s = stall_s
        self._moved = moved
        self._stalled_s = 0.0

    def stalls(self, moved: int) -> bool:
        """``moved`` is the number of bytes so far."""
        self._stalled_s += self.look_every_s
        self.progresses = moved - self._moved >= LEAST_BYTES_PER_S * self._stalled_s
        if self.progresses:
            self._moved, self._stalled_s = moved, 0.0
        return self._stalled_s > self._stall_s - self.look_every_s / 2
