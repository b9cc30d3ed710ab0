import asyncio

import pytest

from inference.worker.executors import ThreadExecutor
from inference.worker.watchdog import TICK_S, USUAL_LIMIT_S, DeviceLost, ModelHangs, Watchdog, is_device_lost
from tests import virtual_time


@pytest.mark.parametrize(
    ("deadline_s", "predicted_s", "limit_s"),
    [
        (30, 0.01, 5),
        (30, 0.4, 8),
        (30, 2, 10),  # a third of the deadline
        (30, 6, 18),  # what is slow does not hang
        (30, None, 10),
        (12, 0.01, 4),
        (0.5, 0.01, 1),
    ],
)
def test_how_long_a_call_may_take(deadline_s: float, predicted_s: float | None, limit_s: float):
    assert Watchdog(deadline_s).limit_s(predicted_s) == limit_s


def test_a_call_that_does_not_come_back_is_noticed():
    async def scenario():
        watchdog = Watchdog(30)
        barking = asyncio.create_task(watchdog.watch())
        began = asyncio.get_running_loop().time()
        with watchdog.watching("model-a", 0.01), pytest.raises(ModelHangs, match="model-a"):
            await barking
        assert 5 <= asyncio.get_running_loop().time() - began <= 5 + 2 * TICK_S

    virtual_time.run(scenario())


ASSERTED = """CUDA error: device-side assert triggered
CUDA kernel errors might be asynchronously reported at some other API call."""


def test_what_loses_the_device_is_known():
    import torch  # noqa: PLC0415 - takes seconds

    for words in (ASSERTED, "CUDA error: an illegal memory access was encountered", "CUDA error: unknown error"):
        assert is_device_lost(torch.AcceleratorError(words))
        assert not is_device_lost(ValueError(words))
    assert not is_device_lost(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."))
    assert not is_device_lost(torch.AcceleratorError("CUDA error: out of memory"))
    assert not is_device_lost(torch.AcceleratorError("CUDA error: invalid configuration argument"))
    assert not is_device_lost(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


async def test_a_call_that_loses_the_device_never_comes_back_and_is_noticed_at_once():
    """It would only say that the input failed, as would every one after it."""
    watchdog = Watchdog(30)
    thread = ThreadExecutor("model-test", watchdog)
    barking = asyncio.create_task(watchdog.watch())

    def fail() -> None:
        raise RuntimeError(ASSERTED)

    call = asyncio.create_task(thread.run(fail))
    with pytest.raises(DeviceLost, match=r"must be started again \(CUDA error: device-side assert triggered\)\.$"):
        await asyncio.wait_for(barking, 20)
    assert not call.done()
    call.cancel()
    thread.watchdog = None
    with pytest.raises(RuntimeError, match="device-side assert"):
        await thread.run(fail)
    thread.close()


def test_calls_that_come_back_are_not_noticed_however_many_there_are():
    async def scenario():
        watchdog = Watchdog(30)
        barking = asyncio.create_task(watchdog.watch())
        for _ in range(20):
            with watchdog.watching("model-a", 0.01):
                await asyncio.sleep(4.9)
        assert not barking.done()
        assert not watchdog._under_way
        barking.cancel()

    virtual_time.run(scenario())


def test_a_call_that_fails_has_come_back():
    watchdog = Watchdog(30)
    with pytest.raises(ValueError, match="no"), watchdog.watching("model-a", None):
        raise ValueError("no")
    assert not watchdog._under_way


def test_time_in_which_the_process_stood_still_does_not_count():
    async def scenario():
        watchdog = Watchdog(30)
        barking = asyncio.create_task(watchdog.watch())
        with watchdog.watching("model-a", 0.01):
            await asyncio.sleep(0)
            virtual_time.stand_still(3600)
            await asyncio.sleep(USUAL_LIMIT_S - 2 * TICK_S)
        assert not barking.done()
        barking.cancel()

    virtual_time.run(scenario(), limit_s=10_000)


async def test_a_thread_is_watched_once_it_is_told_so():
    watchdog, thread = Watchdog(30), ThreadExecutor("model-watched")
    assert await thread.run(lambda: len(watchdog._under_way)) == 0
    thread.watchdog = watchdog
    assert await thread.run(lambda: len(watchdog._under_way), predicted_ms=10) == 1
    assert await thread.run(lambda: len(watchdog._under_way), watched=False) == 0
    assert not watchdog._under_way
    thread.close()
