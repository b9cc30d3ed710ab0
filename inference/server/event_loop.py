"""Under a flood, the event loop takes a few sockets at a time.

An asyncio loop handles everything that is ready before it looks at what other threads have to say. With a thousand
requests to refuse, one such round takes half a second, and an answer of the model needs several rounds on its way: all
that was admitted would be too late. The kernel hands ready sockets over in turn, so that none is passed over.
"""

import asyncio
import selectors
from typing import Any

MOST_EVENTS = 16
"""In one round of the loop; some milliseconds of refusals."""


def limit_events_per_round(loop: asyncio.AbstractEventLoop) -> None:
    """No effect on loops that do not use ``epoll``."""
    selector = getattr(loop, "_selector", None)
    if isinstance(selector, selectors.EpollSelector):
        selector._selector = _Few(selector._selector)  # type: ignore[attr-defined]


class _Few:
    """An ``epoll`` object that returns a few events at once."""

    def __init__(self, epoll: Any) -> None:
        self._epoll = epoll

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> Any:
        return self._epoll.poll(timeout, min(maxevents, MOST_EVENTS) if maxevents > 0 else MOST_EVENTS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)
