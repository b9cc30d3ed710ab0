"""Cancelling tasks that use the channel layer."""

import asyncio
from collections.abc import Iterable
from typing import Any

CANCEL_AGAIN_S = 0.1


async def cancel_and_wait(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel tasks, repeatedly until they have ended.

    Once is not enough: ``wait_for`` of Python 3.11, with which redis-py sends, swallows a cancellation that arrives
    just when a send is done (https://github.com/python/cpython/issues/86296).
    """
    pending = all_of_them = list(tasks)
    while pending:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        pending = [task for task in pending if not task.done()]
    await asyncio.gather(*all_of_them, return_exceptions=True)
