"""Under a flood of requests, the event loop handles a few sockets per iteration.

An asyncio loop handles every socket that is ready before it runs the callbacks of other threads. With a thousand
requests to refuse, one iteration takes half a second, and an answer of the model needs several iterations: every
admitted request would be late. The kernel returns ready sockets in turn, so none is passed over.
"""

import asyncio
import selectors
from typing import Any

MOST_EVENTS = 16
"""Per iteration of the loop: some milliseconds of refusals."""


def limit_events(loop: asyncio.AbstractEventLoop) -> None:
    """No effect on loops that do not use ``epoll``."""
    selector: Any = getattr(loop, "_selector", None)
    epoll_selector: Any = getattr(selectors, "EpollSelector", ())  # only on Linux
    if isinstance(selector, epoll_selector):
        selector._selector = LimitedEpoll(selector._selector)


class LimitedEpoll:
    """An ``epoll`` object that returns at most ``MOST_EVENTS`` events per call."""

    def __init__(self, epoll: Any) -> None:
        self._epoll = epoll

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> Any:
        return self._epoll.poll(timeout, min(maxevents, MOST_EVENTS) if maxevents > 0 else MOST_EVENTS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)
