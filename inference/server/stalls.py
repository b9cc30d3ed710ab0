"""Whether bytes keep moving, in either direction."""

LEAST_BYTES_PER_S = 1024
"""The least progress: a mean over the time since progress was last made."""


class StallDetector:
    """Finds that a stream has made no progress for ``stall_s`` seconds; to be asked every ``interval_s``."""

    def __init__(self, stall_s: float, moved: int) -> None:
        self.interval_s = stall_s / 10
        self.progresses = True
        """Whether there was progress at the last call of ``stalls``."""
        self._stall_s = stall_s
        self._moved = moved
        self._stalled_s = 0.0

    def stalls(self, moved: int) -> bool:
        """``moved`` is the number of bytes so far."""
        self._stalled_s += self.interval_s
        self.progresses = moved - self._moved >= LEAST_BYTES_PER_S * self._stalled_s
        if self.progresses:
            self._moved, self._stalled_s = moved, 0.0
        return self._stalled_s > self._stall_s - self.interval_s / 2
