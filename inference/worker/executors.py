"""The threads that run models and tokenizers."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

from inference.worker.watchdog import Watchdog, is_device_lost

T = TypeVar("T")


def running(host_id: str) -> bool:
    """Whether a thread of the host has not ended yet.

    Python must not end meanwhile: a thread that returns from native code then aborts the process.
    https://github.com/python/cpython/issues/87135
    """
    return any(host_id in thread.name for thread in threading.enumerate())


class ThreadExecutor:
    """Runs one call after the other on a thread of its own, named after its host, for the event loop.

    What a call raises goes to its caller and does not end the thread. The thread is a daemon, so that a model that
    hangs cannot keep the process from ending (a ``ThreadPoolExecutor`` would be joined at exit).

    ``watchdog`` watches each call, except those of a pipeline that is loaded: they may take any time.
    """

    def __init__(self, name: str, watchdog: Watchdog | None = None) -> None:
        self.watchdog = watchdog
        self._name = name
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._last: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[[], T], predicted_ms: float | None = None, *, watched: bool = True) -> T:
        """Raises whatever ``call`` raises. Does not return if the device is lost, which the watchdog reports.

        Cancelling does not stop a call that has begun.

        ``predicted_ms``: how long it should take, if that is known.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        predicted_s = None if predicted_ms is None else predicted_ms / 1000
        watch = self.watchdog.watching(self._name, predicted_s) if self.watchdog and watched else nullcontext()
        with watch:
            self._calls.put((call, future))
            try:
                return await future
            except RuntimeError as error:
                if self.watchdog is None or not is_device_lost(error):
                    raise
                lost = error.with_traceback(None)
            finally:
                # Its exception's traceback refers to this frame: the cycle would keep the failed call's tensors.
                del future
            return await self.watchdog.lose(lost)

    def close(self, last: Callable[[], object] | None = None) -> None:
        """End the thread after the queued calls and ``last``. Does not wait."""
        self._last = last
        self._calls.put(None)

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            call, future = item
            if future.cancelled():
                continue
            try:
                outcome: Any = call()
                error = None
            except BaseException as raised:
                outcome, error = None, raised
            try:
                future.get_loop().call_soon_threadsafe(_settle, future, outcome, error)
            except RuntimeError:
                return  # the loop is closed: the process is ending
            del item, call, future, outcome, error
        last, self._last = self._last, None
        if last is not None:
            last()


class Executors:
    """The threads of a host, and which of them are busy. All pipelines of the host share them.

    Two batches side by side, with half of the cores each, get more out of a processor than one after the other with all
    of them (decision 0007): no core waits for another at the end of each operator, nor for the next batch. A lone job
    or a little work has all cores, and so has a job that must run with nothing else in the model.

    Args:
        tokenizer: runs no batches.
        wide: may use all cores.
        narrow: each may use its part of the cores. None: one batch after the other, on ``wide``.
    """

    def __init__(self, tokenizer: ThreadExecutor, wide: ThreadExecutor, narrow: Sequence[ThreadExecutor] = ()) -> None:
        self.tokenizer = tokenizer
        self.tokenizing = asyncio.Lock()
        """Held for as long as nothing else may be tokenised."""
        self.wide = wide
        self.narrow = tuple(narrow)
        self._busy: set[ThreadExecutor] = set()

    @property
    def side_by_side(self) -> int:
        """How many batches may run at once."""
        return max(1, len(self.narrow))

    def part(self, thread: ThreadExecutor) -> float:
        """Of the cores that the thread may use."""
        return 1.0 if thread is self.wide else 1 / self.side_by_side

    def free(self, *, narrow: bool) -> ThreadExecutor | None:
        """A thread for the next batch, if there is one; ``narrow``: the batch may run beside another."""
        if not self.narrow or not narrow:
            return None if self._busy else self.wide
        if self.wide in self._busy:
            return None
        return next((thread for thread in self.narrow if thread not in self._busy), None)

    def take(self, thread: ThreadExecutor) -> None:
        self._busy.add(thread)

    def give_back(self, thread: ThreadExecutor) -> None:
        self._busy.discard(thread)

    def close(self, last: Callable[[], object] | None = None) -> None:
        """End the threads after their calls; then, with no other thread left, ``last`` runs on the wide one."""
        for thread in (self.tokenizer, *self.narrow):
            thread.close()
        self.wide.close(None if last is None else partial(self._after_others, last))

    def _after_others(self, last: Callable[[], object]) -> None:
        for thread in (self.tokenizer, *self.narrow):
            thread.join()
        last()


def _settle(future: "asyncio.Future[Any]", outcome: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(outcome)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):  # a future refuses it
        future.set_exception(error)
    else:
        future.set_exception(RuntimeError(f"the model raised {error!r}"))
