"""What large bodies have together: from the moment that they are announced until their requests are answered.

A pipeline for images or recordings takes bodies of megabytes. Daphne reads each into memory as soon as it is complete,
before admission can refuse it, so their number times their size must have a limit of its own.
"""

SMALL = 65_536
"""Bytes up to which a body of a known length does not count: there may be one for every connection."""
RETRY_S = 1


class LargeBodies:
    """One per process."""

    def __init__(self) -> None:
        self.bytes = 0

    def take(self, size: int, most: int) -> bool:
        """Count so much more; false if it would be more than ``most``. A single body may have any size."""
        if self.bytes and self.bytes + size > most:
            return False
        self.bytes += size
        return True

    def give_back(self, size: int) -> None:
        self.bytes -= size


held = LargeBodies()
"""Of endpoints."""
of_others = LargeBodies()
"""At paths that are no endpoint, such as those of the admin."""
