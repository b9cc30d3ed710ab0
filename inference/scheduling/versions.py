"""Which version of the model new requests are for, where workers do not all serve the same. No I/O."""

import logging
from collections import Counter
from collections.abc import Sequence

from inference.messaging.messages import Description

logger = logging.getLogger(__name__)

RETURNS_WITHIN_S = 30.0
"""A version whose last ready worker was lost is expected back for so long: workers are started again."""


class Versions:
    """The version with the most ready workers is served, and the one that is served stays while another has no more.

    So a worker that is started with another model by mistake gets nothing, and a rolling change goes over when half of
    it is done. Every web process comes to the same. A version whose workers have all said that they stop is left at
    once; one whose workers were lost, after ``RETURNS_WITHIN_S``. Moments are of the caller's monotonic clock.
    """

    def __init__(self) -> None:
        self.served: Description | None = None
        self._kept_until = 0.0
        self._reported: Counter[str] = Counter()

    def lost(self, version: str, now: float) -> None:
        """A worker that served it was lost."""
        if self.served is not None and version == self.served.version:
            self._kept_until = now + RETURNS_WITHIN_S

    def look(self, found: Sequence[Description], now: float) -> None:
        """Call when something was heard of a worker, and now and then, with what each ready worker serves."""
        descriptions = {description.version: description for description in found}
        ready = Counter(description.version for description in found)
        if ready and self._may_change(ready, now):
            version = ready.most_common(1)[0][0]
            if self.served is not None and version != self.served.version:
                logger.warning("New requests are for %s from now on", titled(descriptions[version]))
            self.served = descriptions[version]
        self._report(ready, descriptions)

    def _may_change(self, ready: Counter[str], now: float) -> bool:
        if self.served is None:
            return True
        mine = ready[self.served.version]
        if mine:
            return max(ready.values()) > mine
        return now >= self._kept_until

    def _report(self, ready: Counter[str], descriptions: dict[str, Description]) -> None:
        """Once for each change of who serves what."""
        if ready == self._reported:
            return
        self._reported = ready
        if len(ready) > 1:
            logger.warning(
                "Ready workers serve different models: %s. New requests are for %s; the others get none",
                ", ".join(f"{count} × {titled(descriptions[version])}" for version, count in ready.most_common()),
                titled(self.served),
            )


def titled(description: Description | None) -> str:
    """What is served, in words for logs and pages."""
    if description is None:
        return "nothing"
    d = description
    revision = f" at {d.revision}" if d.revision else ""
    return f"{d.task} with {d.model}{revision} (version {d.version or 'unknown'})"
