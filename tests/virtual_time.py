"""Asyncio without waiting: ``run`` a coroutine on an event loop whose clock jumps to the next timer.

Whenever nothing is ready, the loop's ``time()`` becomes the moment of the next timer, exactly. So a test of
timeouts and periods takes no time, does not depend on the machine, and may compare moments with ``==``. What
does not follow this clock: ``time.monotonic()``, ``time.time()``, threads, sockets and child processes. The loop
never looks at the outside world; a test that needs it uses the real loop.

Three faults of a test that would otherwise be a hang or pass unnoticed raise an exception:

* nothing is ready and there is no timer, so the coroutine would wait for ever: ``WaitsForEver``;
* periodic timers keep the loop busy for more virtual time than ``limit_s``: ``WaitsForEver``;
* a callback raised, or a task ended with an exception that was never retrieved: ``UncaughtException``.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

START_S = 1024.0
"""The clock's first moment: not 0, which code may take for "never", and a power of two, so that sums are exact."""


def stand_still(seconds: float) -> None:
    """Let time pass while the running loop does nothing."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.stand_still(seconds)


class WaitsForEver(AssertionError):
    """The coroutine does not end; the message lists what its tasks wait for."""


class UncaughtException(AssertionError):
    """An exception reached the event loop; it is the ``__cause__``."""


def run(coroutine: Coroutine[Any, Any, T], *, limit_s: float = 600.0) -> T:
    """Run ``coroutine`` and return its result, as ``asyncio.run`` does, in at most ``limit_s`` of virtual time.

    Tasks that are left at the end are cancelled.
    """
    uncaught: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(limit_s)) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: uncaught.append(context))
        outcome = runner.run(coroutine)
    if uncaught:
        raise UncaughtException(f"{len(uncaught)}, the first: {uncaught[0]['message']}") from uncaught[0].get(
            "exception"
        )
    return outcome


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while something is ready, and jumps otherwise."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(_NoSelector(self))
        self._now = START_S
        self._ends_at = START_S + limit_s

    def time(self) -> float:
        return self._now

    def stand_still(self, seconds: float) -> None:
        """Let time pass while nothing is done, as in a process that was stopped or a callback that takes long."""
        self._now += seconds

    def jump(self) -> None:
        """Set the clock to the next timer."""
        timers = self._scheduled  # type: ignore[attr-defined]  # a heap of TimerHandle; asyncio has no other way in
        if not timers:
            self._give_up("Nothing is ready and there is no timer: this would wait for ever.")
        moment = timers[0].when()
        if moment > self._ends_at:
            self._ends_at = float("inf")  # for whatever tasks do when they are cancelled
            self._give_up(f"Not done at {self._now - START_S:g} s of virtual time, the next timer is beyond the limit.")
        self._now = max(self._now, moment)

    def _give_up(self, reason: str) -> NoReturn:
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        raise WaitsForEver("\n".join([reason, *(f"  {task.get_name()} waits at {_place(task)}" for task in tasks)]))


class _NoSelector(selectors.SelectSelector):
    """Jumps where an event loop would sleep."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._loop.jump()
        return []


def _place(task: "asyncio.Task[Any]") -> str:
    """The line of the innermost coroutine that the task is in."""
    awaited: Any = task.get_coro()
    place = repr(awaited)
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        place = f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
        awaited = awaited.cr_await
    return place
