"""Between event loops: a process whose first request came through ``infer_sync()`` has its service on another one."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any


async def run_on(loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Await it on its loop, which may be this one. Cancelling this cancels it, too."""
    if loop is asyncio.get_running_loop():
        return await function(*args)

    async def call() -> Any:
        return await function(*args)

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))


def run_here(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same function, to be called from any loop; it runs on this one."""
    return functools.partial(run_on, asyncio.get_running_loop(), function)
