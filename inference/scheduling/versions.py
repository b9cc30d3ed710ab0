"""Which version of the model new requests are for, if workers serve different ones. No I/O."""

import logging
from collections import Counter
from collections.abc import Sequence

from inference.messaging.messages import Description

logger = logging.getLogger(__name__)

RESTART_GRACE_S = 30.0
"""How long a lost worker counts as if it were ready: a supervisor may restart it."""


class Versions:
    """Serves the version with the most ready workers; the current one stays while no other has more.

    So a worker that was started with the wrong model gets no requests, a rolling change takes effect at its middle, and
    all web processes decide alike. A worker that reports that it stops counts no longer; one that was lost counts until
    another of its version is ready, for ``RESTART_GRACE_S`` at most. Times are those of the caller's monotonic clock.
    """

    def __init__(self) -> None:
        self.served: Description | None = None
        self._ready = 0
        """Ready workers of the served version."""
        self._lost_until: list[float] = []
        """For each lost worker of the served version that may come back: until when it counts."""
        self._reported: Counter[str] = Counter()

    def worker_lost(self, version: str, now: float) -> None:
        """A worker of this version was lost."""
        if self.served is not None and version == self.served.version:
            self._lost_until.append(now + RESTART_GRACE_S)

    def update(self, ready: Sequence[Description], now: float) -> None:
        """Decide anew, given the description of each ready worker. Call on each status, and periodically."""
        descriptions = {description.version: description for description in ready}
        workers = Counter(description.version for description in ready)
        if self.served is not None:
            self._count_served(workers[self.served.version], now)
        version, most = next(iter(workers.most_common(1)), ("", 0))
        if most > self._ready + len(self._lost_until):
            if self.served is not None:
                logger.warning("New requests are for %s from now on", describe(descriptions[version]))
            self.served, self._ready, self._lost_until = descriptions[version], most, []
        self._report(workers, descriptions)

    def _count_served(self, ready: int, now: float) -> None:
        returned = max(0, ready - self._ready)
        self._lost_until = [until for until in self._lost_until[returned:] if until > now]
        self._ready = ready

    def _report(self, workers: Counter[str], descriptions: dict[str, Description]) -> None:
        """Log once per change that workers serve different versions."""
        if workers == self._reported:
            return
        self._reported = workers
        if len(workers) > 1:
            logger.warning(
                "Ready workers serve different models: %s. New requests are for %s; the others get none",
                ", ".join(f"{count} × {describe(descriptions[version])}" for version, count in workers.most_common()),
                describe(self.served),
            )


def describe(description: Description | None) -> str:
    """A phrase that names what is served, for logs and pages."""
    if description is None:
        return "nothing"
    d = description
    revision = f" at {d.revision}" if d.revision else ""
    return f"{d.task} with {d.model}{revision} (version {d.version or 'unknown'})"
