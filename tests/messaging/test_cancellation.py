import asyncio

import pytest

from inference.messaging.cancellation import cancel_and_wait
from tests.messaging.recording_layer import now_s
from tests.virtual_time import run


async def stubborn(swallows: int) -> None:
    """Ends with the cancellation after so many."""
    for _ in range(swallows):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()


@pytest.mark.parametrize("swallows", [0, 1, 5])
def test_tasks_end_even_if_they_swallow_cancellations(swallows: int):
    async def main() -> None:
        tasks = [asyncio.create_task(stubborn(count)) for count in (swallows, 0)]
        await asyncio.sleep(1)
        await cancel_and_wait(tasks)
        assert all(task.cancelled() for task in tasks)

    run(main())


def test_what_a_task_died_of_does_not_stop_ending_the_others():
    async def dies() -> None:
        raise OSError

    async def main() -> None:
        tasks = [asyncio.create_task(dies()), asyncio.create_task(stubborn(0))]
        await asyncio.sleep(1)
        await cancel_and_wait(tasks)
        assert [task.cancelled() for task in tasks] == [False, True]

    run(main())


def test_ending_nothing_takes_no_time():
    async def main() -> None:
        await cancel_and_wait([])
        assert now_s() == 0

    run(main())
