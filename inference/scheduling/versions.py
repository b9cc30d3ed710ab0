"""Which version of the model new requests are for, if workers serve different ones. No I/O."""

import logging
from collections import Counter
from collections.abc import Sequence

from inference.messaging.messages import Description

logger = logging.getLogger(__name__)

RESTART_GRACE_S = 30.0
"""How long a version is kept after its last ready worker was lost: a supervisor may restart the worker."""


class Versions:
    """Serves the version with the most ready workers; the current one stays while no other has more.

    So a worker that was started with the wrong model gets no requests, a rolling change takes effect at its middle, and
    all web processes decide alike. A version is replaced at once when all its workers have reported that they stop, and
    after ``RESTART_GRACE_S`` when they were lost. Times are those of the caller's monotonic clock.
    """

    def __init__(self) -> None:
        self.served: Description | None = None
        self._grace_ends_at = 0.0
        self._reported: Counter[str] = Counter()

    def worker_lost(self, version: str, now: float) -> None:
        """A worker of this version was lost."""
        if self.served is not None and version == self.served.version:
            self._grace_ends_at = now + RESTART_GRACE_S

    def update(self, ready: Sequence[Description], now: float) -> None:
        """Decide anew, given the description of each ready worker. Call on each status, and periodically."""
        descriptions = {description.version: description for description in ready}
        workers = Counter(description.version for description in ready)
        if workers and self._may_change(workers, now):
            version = workers.most_common(1)[0][0]
            if self.served is not None and version != self.served.version:
                logger.warning("New requests are for %s from now on", describe(descriptions[version]))
            self.served = descriptions[version]
        self._report(workers, descriptions)

    def _may_change(self, workers: Counter[str], now: float) -> bool:
        if self.served is None:
            return True
        current = workers[self.served.version]
        if current:
            return max(workers.values()) > current
        return now >= self._grace_ends_at

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
