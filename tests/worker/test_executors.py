import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from inference.worker.executors import ThreadExecutor

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20
"""Far longer than anything here takes."""


@pytest.fixture
def thread() -> Iterator[ThreadExecutor]:
    opened = ThreadExecutor("model-test")
    yield opened
    opened.close()


def raise_it(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("outcome", [42, None, False, []])
async def test_what_a_call_returns_comes_back(thread: ThreadExecutor, outcome: Any):
    assert await thread.run(lambda: outcome) is outcome


async def test_calls_run_on_one_thread_of_its_own(thread: ThreadExecutor):
    where = {await thread.run(threading.current_thread) for _ in range(3)}
    assert [found.name for found in where] == ["model-test"]
    assert threading.current_thread() not in where


async def test_the_thread_does_not_keep_the_process_from_ending(thread: ThreadExecutor):
    assert (await thread.run(threading.current_thread)).daemon


async def test_calls_run_one_after_the_other_in_the_order_they_were_made(thread: ThreadExecutor):
    seen: list[int] = []
    running = threading.Lock()

    def call(number: int) -> None:
        assert running.acquire(blocking=False)
        seen.append(number)
        running.release()

    await asyncio.gather(*(thread.run(partial(call, number)) for number in range(50)))
    assert seen == list(range(50))


async def test_the_event_loop_goes_on_while_a_call_runs(thread: ThreadExecutor):
    go = threading.Event()
    running = asyncio.create_task(thread.run(lambda: go.wait(PATIENCE_S)))
    await asyncio.sleep(0)
    go.set()  # only a loop that goes on gets here
    assert await running


@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError(), RecursionError(), TimeoutError()], ids=repr)
async def test_what_a_call_raises_goes_to_its_caller(thread: ThreadExecutor, error: Exception):
    with pytest.raises(type(error)) as raised:
        await thread.run(lambda: raise_it(error))
    assert raised.value is error


async def test_what_a_failed_call_had_is_freed_with_its_error(thread: ThreadExecutor):
    """Not only when the garbage collector comes: its halves run at once, and need the memory."""

    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []

    def fail() -> None:
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        raise MemoryError

    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with suppress(MemoryError):
                await thread.run(fail)
        await thread.run(lambda: None)
        assert [reference() for reference in held] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "error",
    [StopIteration(), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()],
    ids=repr,
)
async def test_what_would_end_more_than_the_call_becomes_an_ordinary_error(
    thread: ThreadExecutor, error: BaseException
):
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(RuntimeError, match=type(error).__name__):
            await thread.run(lambda: raise_it(error))


@pytest.mark.parametrize("error", [ValueError(), StopIteration(), SystemExit(), KeyboardInterrupt()], ids=repr)
async def test_the_thread_goes_on_after_a_call_that_fails(thread: ThreadExecutor, error: BaseException):
    before = await thread.run(threading.current_thread)
    with pytest.raises((ValueError, RuntimeError)):
        await thread.run(lambda: raise_it(error))
    assert await thread.run(threading.current_thread) is before


async def test_a_call_that_was_cancelled_before_its_turn_does_not_run(thread: ThreadExecutor):
    go, ran = threading.Event(), []
    first = asyncio.create_task(thread.run(lambda: go.wait(PATIENCE_S)))
    second = asyncio.create_task(thread.run(lambda: ran.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    go.set()
    assert await first
    await thread.run(lambda: ran.append("third"))
    assert ran == ["third"]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_call_that_was_cancelled_while_it_runs_ends_unheard(thread: ThreadExecutor, fails: bool):
    began, go, ended = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()
    problems: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: problems.append(context))

    def call() -> None:
        loop.call_soon_threadsafe(began.set)
        go.wait(PATIENCE_S)
        ended.append(True)
        if fails:
            raise ValueError

    running = asyncio.create_task(thread.run(call))
    await began.wait()
    running.cancel()
    await asyncio.wait([running])
    go.set()
    assert await thread.run(lambda: 42) == 42
    assert ended == [True]
    assert not problems


async def test_two_event_loops_may_share_it(thread: ThreadExecutor):
    other = asyncio.to_thread(asyncio.run, thread.run(lambda: "other"))
    assert tuple(await asyncio.gather(other, thread.run(lambda: "own"))) == ("other", "own")


async def test_closing_lets_the_calls_that_wait_run_first():
    thread = ThreadExecutor("model-closing")
    system_thread = await thread.run(threading.current_thread)
    go = threading.Event()
    first = asyncio.create_task(thread.run(lambda: go.wait(PATIENCE_S)))
    second = asyncio.create_task(thread.run(lambda: "second"))
    await asyncio.sleep(0)
    thread.close()
    go.set()
    assert tuple(await asyncio.gather(first, second)) == (True, "second")
    system_thread.join(PATIENCE_S)
    assert not system_thread.is_alive()


def test_the_thread_ends_when_the_loop_of_a_call_is_gone():
    thread, go = ThreadExecutor("model-orphan"), threading.Event()

    async def leave() -> threading.Thread:
        own = await thread.run(threading.current_thread)
        began = asyncio.Event()
        loop = asyncio.get_running_loop()

        def call() -> None:
            loop.call_soon_threadsafe(began.set)
            go.wait(PATIENCE_S)

        running = asyncio.create_task(thread.run(call))
        await began.wait()
        running.cancel()
        return own

    own = asyncio.run(leave())
    go.set()
    own.join(PATIENCE_S)
    assert not own.is_alive()


def test_a_call_that_hangs_does_not_keep_the_process_from_ending():
    code = """
import asyncio, threading
from inference.worker.executors import ThreadExecutor

async def main():
    began = asyncio.Event()
    loop = asyncio.get_running_loop()
    def hang():
        loop.call_soon_threadsafe(began.set)
        threading.Event().wait()
    running = asyncio.create_task(ThreadExecutor("model").run(hang))
    await began.wait()
    running.cancel()

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=50)
