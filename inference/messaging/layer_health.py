"""Whether the channel layer works, as the log reports it."""

import asyncio
import logging

logger = logging.getLogger(__name__)

SETTLED_S = 1.0
"""Time without a failure after which the layer is reported to work again."""


class LayerHealth:
    """Logs when the channel layer begins to fail and when it works again, and nothing between."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._began: float | None = None
        self._last = 0.0

    def failed(self, doing: str, error: Exception | None = None) -> None:
        self._last = self._clock()
        if self._began is None:
            self._began = self._last
            # Not repr(error), in which those of redis-py have no text.
            how = doing if error is None else f"{doing}: {type(error).__name__}: {error}"
            logger.warning("The channel layer fails (%s); what is under way waits for it", how)

    def works(self) -> None:
        """Note a success. A layer that fails only now and then is reported once, not each time."""
        if self._began is not None and self._clock() - self._last >= SETTLED_S:
            logger.warning("The channel layer works again, %.1f s after it failed", self._clock() - self._began)
            self._began = None
