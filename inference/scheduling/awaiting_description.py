"""Requests that arrived before any worker was ready, and wait for a description of what is served."""

import asyncio
from collections.abc import Callable

from inference.errors import InferenceError
from inference.messaging.messages import Description


class AwaitingDescription:
    """The waiting requests can be neither validated nor sent yet, but are accepted: each gets an answer."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[Description], None] = {}
        """In the order of arrival, in which they continue."""

    async def wait(self) -> Description:
        """Wait until a worker is ready. Raises the error that ``fail`` makes."""
        described: asyncio.Future[Description] = asyncio.get_running_loop().create_future()
        self._waiting[described] = None
        try:
            return await described
        finally:
            del self._waiting[described]

    def resolve(self, description: Description) -> None:
        """Continue all waiting requests."""
        for described in self._waiting:
            if not described.done():
                described.set_result(description)

    def fail(self, make_error: Callable[[], InferenceError]) -> None:
        """End all waiting requests with an error."""
        for described in self._waiting:
            if not described.done():
                described.set_exception(make_error())
