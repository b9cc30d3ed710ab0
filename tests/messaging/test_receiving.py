import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from inference.messaging.layer import RETRY_FIRST_S
from inference.messaging.layer_health import LayerHealth
from inference.messaging.receiving import receive_forever
from tests.messaging.recording_layer import RecordingLayer
from tests.virtual_time import run

WEB = "inference.web.a"


class Reader:
    """``receive_forever`` at work, and what it gave."""

    def __init__(self, take: Callable[[Any], Any] | None = None) -> None:
        self.layer = RecordingLayer()
        self.got: list[Any] = []
        self.task = asyncio.create_task(receive_forever(self.layer, WEB, take or self.got.append, LayerHealth()))

    def deliver(self, *messages: Any) -> None:
        for message in messages:
            self.layer.incoming.put_nowait(message)


def test_every_message_is_given_in_order():
    async def main() -> None:
        reader = Reader()
        reader.deliver(1, 2, 3)
        await asyncio.sleep(1)
        reader.deliver(4)
        await asyncio.sleep(1)
        assert reader.got == [1, 2, 3, 4]

    run(main())


def test_a_coroutine_is_awaited_before_the_next_message():
    async def main() -> None:
        got = []

        async def take(message: int) -> None:
            got.append(("begins", message))
            await asyncio.sleep(1)
            got.append(("ends", message))

        Reader(take).deliver(1, 2)
        await asyncio.sleep(10)
        assert got == [("begins", 1), ("ends", 1), ("begins", 2), ("ends", 2)]

    run(main())


@pytest.mark.parametrize("wait_s", [0, 1])
def test_a_message_that_cannot_be_handled_does_not_end_the_reader(wait_s: float):
    async def main() -> None:
        got = []

        async def take(message: int) -> None:
            await asyncio.sleep(wait_s)
            got.append(10 // message)

        Reader(take).deliver(1, 0, 2)
        await asyncio.sleep(10)
        assert got == [10, 5]

    run(main())


def test_a_callback_that_raises_does_not_end_the_reader():
    async def main() -> None:
        got: list[float] = []
        Reader(lambda message: got.append(10 // message)).deliver(1, 0, 2)
        await asyncio.sleep(10)
        assert got == [10, 5]

    run(main())


def test_a_layer_that_fails_is_read_again_with_longer_pauses():
    async def main() -> None:
        reader = Reader()
        reader.deliver(*(OSError() for _ in range(8)), "after")
        await asyncio.sleep(30)
        times = reader.layer.tried_at_s
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses[:8] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 1])
        assert reader.got == ["after"]

    run(main())


def test_the_pauses_begin_anew_after_the_layer_has_worked():
    async def main() -> None:
        reader = Reader()
        reader.deliver(*(OSError() for _ in range(5)), "between", TimeoutError(), "after")
        await asyncio.sleep(30)
        assert reader.got == ["between", "after"]
        assert reader.layer.tried_at_s[-2] - reader.layer.tried_at_s[-3] == pytest.approx(RETRY_FIRST_S)

    run(main())


def test_each_outage_is_two_lines_of_the_log(caplog: pytest.LogCaptureFixture):
    async def main() -> None:
        reader = Reader()
        for outage in ("first", "second"):
            reader.deliver("before", OSError(outage), "a last message", OSError("still gone"))
            await asyncio.sleep(10)
            reader.deliver("after", "that")

    run(main())
    failed = "The channel layer fails (receiving: OSError: {}); what is under way waits for it"
    works = "The channel layer works again, {} s after it failed"
    ends = works.format("10.0")
    assert caplog.messages == [failed.format("first"), ends, failed.format("second"), ends]


def test_a_reader_ends_when_it_is_cancelled():
    async def main() -> None:
        reader = Reader()
        await asyncio.sleep(1)
        reader.task.cancel()
        await asyncio.wait([reader.task])
        assert reader.task.cancelled()

    run(main())
