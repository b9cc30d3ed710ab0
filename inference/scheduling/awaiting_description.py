"""Requests that came before any worker had loaded: they wait to hear what is served."""

import asyncio
from collections.abc import Callable

from inference.errors import InferenceError
from inference.messaging.messages import Description


class AwaitingDescription:
    """They can be neither validated nor sent yet, but are accepted: each gets an answer."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[Description]] = set()

    async def wait(self) -> Description:
        """Until something is served. Raises what ``fail`` was given."""
        described: asyncio.Future[Description] = asyncio.get_running_loop().create_future()
        self._waiting.add(described)
        try:
            return await described
        finally:
            self._waiting.discard(described)

    def describe(self, description: Description) -> None:
        for described in self._waiting:
            if not described.done():
                described.set_result(description)

    def fail(self, make_error: Callable[[], InferenceError]) -> None:
        for described in self._waiting:
            if not described.done():
                described.set_exception(make_error())
