"""Calls of the model while it is loaded: each in a turn of its own, beside the pipelines that are served."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from inference.worker.turns import Share

T = TypeVar("T")


class ModelTurn:
    """``backends.base.Turn`` for the thread that loads; made on the event loop."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self._ended = False

    def __call__(self, call: Callable[[], T]) -> T:
        return asyncio.run_coroutine_threadsafe(self._run(call), self._loop).result()

    def end(self) -> None:
        """Nobody waits for the pipeline any more: the thread gets ``CancelledError`` now, and from every later call."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self, call: Callable[[], T]) -> T:
        if self._ended:
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        self._share.has_work = lambda: True
        try:
            thread = await self._share.turn()
            try:
                return await thread.run(call, watched=False)
            finally:
                self._share.give_back(thread)
        finally:
            self._share.has_work = lambda: False
