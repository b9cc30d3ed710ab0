"""Calls between event loops: where ``infer_sync()`` starts the service, it runs on another loop than the server's."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any


async def run_on(loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Await ``function(*args)`` on ``loop``, which may be the running one. Cancelling the caller cancels it, too."""
    if loop is asyncio.get_running_loop():
        return await function(*args)

    async def call() -> Any:
        return await function(*args)

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))


def run_here(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """``function`` for callers on any loop; it runs on the one that runs now."""
    return functools.partial(run_on, asyncio.get_running_loop(), function)
