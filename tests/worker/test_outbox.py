import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.messaging.layer import (
    RETRY_FIRST_S,
    RETRY_LAST_S,
    SEND_INTERVAL_S,
    SEND_TIMEOUT_S,
    LayerHealth,
    end,
    pack,
    receive_forever,
    send_interval_of,
)
from inference.messaging.layer import send as send_once
from inference.messaging.messages import (
    ENVELOPE_BYTES,
    Cancel,
    Closing,
    Error,
    Event,
    Message,
    Replies,
    Result,
    Returned,
    Started,
    Status,
    Token,
    Totals,
    decode,
    encode,
)
from inference.worker.outbox import Outbox
from tests.virtual_time import START_S, run

WEB = "inference.web.a"

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


class FaultyLayer:
    """Refuses, delays, freezes and loses on command, and keeps what it took. Moments count from the clock's start."""

    def __init__(self) -> None:
        self.refusing = self.frozen = self.losing = False
        self.delay_s = 0.0
        self.tried_at_s: list[float] = []
        self.taken: list[tuple[float, str, Message]] = []
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sending = 0
        self.most_sending = 0

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        self.tried_at_s.append(now_s())
        self.sending += 1
        self.most_sending = max(self.most_sending, self.sending)
        try:
            if self.frozen:
                await asyncio.Event().wait()
            await asyncio.sleep(self.delay_s)
            if self.refusing:
                raise ChannelFull(channel)
            if not self.losing:
                self.taken.append((now_s(), channel, decode(message)))
        finally:
            self.sending -= 1

    async def receive(self, channel: str) -> Any:
        """What a test put into ``incoming``; an exception is raised."""
        self.tried_at_s.append(now_s())
        message = await self.incoming.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def group_add(self, group: str, channel: str) -> None: ...
    async def group_discard(self, group: str, channel: str) -> None: ...
    async def group_send(self, group: str, message: dict[str, Any]) -> None: ...

    def said_to(self, channel: str) -> list[Message]:
        return [message for _, receiver, message in self.taken if receiver == channel]


def now_s() -> float:
    return asyncio.get_running_loop().time() - START_S


def status(heard: int = 0) -> Status:
    return Status(
        worker="w",
        channel="inference.worker.w",
        heard=heard,
        state="ready",
        description=None,
        queue_depth=0,
        cost=None,
        job_ms=0.0,
        totals=Totals(),
        webs=1,
        credit=1,
        held=(),
    )


class Desk:
    """An outbox that runs, and what its owner hears of it."""

    def __init__(self) -> None:
        self.layer = FaultyLayer()
        self.truth = 0
        """What a status says when it is made."""
        self.taken: list[list[Closing]] = []
        self.outbox = Outbox(self.layer, WEB, "w", lambda: status(self.truth), self.taken.append)

    def put(self, *entries: Event | Closing) -> None:
        for entry in entries:
            self.outbox.put(entry)

    @property
    def said(self) -> list[Message]:
        return self.layer.said_to(WEB)

    @property
    def envelopes(self) -> list[tuple[Event | Closing, ...]]:
        return [message.entries for message in self.said if isinstance(message, Replies)]

    @property
    def entries(self) -> list[Event | Closing]:
        return [entry for envelope in self.envelopes for entry in envelope]


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    opened = Desk()
    running = asyncio.create_task(opened.outbox.run())
    try:
        yield opened
        assert not running.done(), "nothing ends the outbox"
    finally:
        running.cancel()
        await asyncio.wait([running])


def result(job_id: int, size: int = 2) -> Result:
    return Result(job_id, b"x" * size, 1.0, 2.0, 3)


def returned(job_id: int) -> Returned:
    return Returned(job_id, "cancelled")


# Order and envelopes


def test_entries_leave_in_order():
    async def main() -> None:
        async with desk() as d:
            entries: list[Event | Closing] = [
                Started(1, 1),
                result(1),
                Error(2, "inference", "It failed."),
                returned(3),
            ]
            for entry in entries:
                d.put(entry)
                await asyncio.sleep(0.001)
            await d.outbox.flushed()
            assert d.entries == entries

    run(main())


def test_a_lone_entry_leaves_at_once():
    async def main() -> None:
        async with desk() as d:
            await asyncio.sleep(1)
            d.put(result(1))
            await d.outbox.flushed()
            assert d.layer.tried_at_s == [1]

    run(main())


def test_what_is_said_together_travels_together():
    async def main() -> None:
        async with desk() as d:
            d.put(*map(result, range(100)))
            await d.outbox.flushed()
            assert [len(envelope) for envelope in d.envelopes] == [100]

    run(main())


def test_under_load_envelopes_fill_and_keep_their_distance():
    async def main() -> None:
        async with desk() as d:
            for number in range(100):
                d.put(result(number))
                await asyncio.sleep(SEND_INTERVAL_S / 10)
            await d.outbox.flushed()
            assert d.entries == list(map(result, range(100)))
            times = d.layer.tried_at_s
            assert len(times) <= 12
            assert all(later - earlier >= SEND_INTERVAL_S * 0.999 for earlier, later in itertools.pairwise(times))

    run(main())


def test_one_send_at_a_time():
    async def main() -> None:
        async with desk() as d:
            d.layer.delay_s = 0.1
            for number in range(20):
                d.put(result(number))
                d.outbox.status_due()
                await asyncio.sleep(0.03)
            await d.outbox.flushed()
            assert d.layer.most_sending == 1
            assert d.entries == list(map(result, range(20)))

    run(main())


def test_an_envelope_is_bounded():
    async def main() -> None:
        async with desk() as d:
            d.put(*(result(number, 100_000) for number in range(12)))
            await d.outbox.flushed()
            assert [len(envelope) for envelope in d.envelopes] == [5, 5, 2]
            assert d.entries == [result(number, 100_000) for number in range(12)]

    run(main())


def test_an_entry_beyond_the_bound_travels_alone():
    async def main() -> None:
        async with desk() as d:
            d.put(result(1), result(2, ENVELOPE_BYTES + 1), result(3))
            await d.outbox.flushed()
            assert [[entry.id for entry in envelope] for envelope in d.envelopes] == [[1], [2], [3]]

    run(main())


SIZES = st.lists(st.integers(0, ENVELOPE_BYTES * 5 // 4) | st.integers(0, 2000), max_size=30)


@steady
@given(SIZES)
def test_packing_loses_nothing_and_keeps_the_order(sizes: list[int]):
    queue = deque(enumerate(sizes))
    packed = []
    while queue:
        packed += pack(queue, lambda entry: entry[1])
    assert packed == list(enumerate(sizes))


@steady
@given(SIZES)
def test_an_envelope_fits_its_bound_unless_one_entry_alone_does_not(sizes: list[int]):
    queue = deque(result(number, size) for number, size in enumerate(sizes))
    while queue:
        packed = pack(queue, lambda entry: len(entry.output))
        body = encode(Replies("w", tuple(packed)))["body"]
        assert len(packed) == 1 or len(body) <= ENVELOPE_BYTES


def test_many_small_entries_are_bounded_too():
    queue = deque(returned(2**40 + number) for number in range(20_000))
    packed = pack(queue, lambda entry: 0)
    assert len(encode(Replies("w", tuple(packed)))["body"]) <= ENVELOPE_BYTES
    assert len(packed) > 1000


def test_packing_nothing_is_nothing():
    assert pack(deque[int](), lambda entry: entry) == []


def test_only_in_memory_there_is_nothing_to_pace():
    assert send_interval_of(InMemoryChannelLayer()) == 0
    assert send_interval_of(FaultyLayer()) == SEND_INTERVAL_S


# A layer that refuses, freezes or loses


def test_what_is_refused_is_tried_again_with_longer_pauses_until_it_is_taken():
    async def main() -> None:
        async with desk() as d:
            d.layer.refusing = True
            d.put(Started(1, 1), result(1))
            await asyncio.sleep(10)
            assert d.entries == []
            d.layer.refusing = False
            await d.outbox.flushed()
            assert d.entries == [Started(1, 1), result(1)]
            times = d.layer.tried_at_s
            pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
            assert pauses[:5] == pytest.approx([RETRY_FIRST_S * 2**n for n in range(5)])
            assert set(pauses[5:]) == {RETRY_LAST_S}

    run(main())


def test_what_comes_meanwhile_leaves_after_what_was_refused():
    async def main() -> None:
        async with desk() as d:
            d.layer.refusing = True
            d.put(result(1))
            await asyncio.sleep(1)
            d.put(result(2))
            d.layer.refusing = False
            await d.outbox.flushed()
            assert d.envelopes == [(result(1),), (result(2),)]

    run(main())


def test_a_frozen_layer_holds_a_send_for_a_bounded_time():
    async def main() -> None:
        async with desk() as d:
            d.layer.frozen = True
            d.put(result(1))
            await asyncio.sleep(SEND_TIMEOUT_S)
            d.layer.frozen = False
            await d.outbox.flushed()
            assert d.layer.tried_at_s == pytest.approx([0, SEND_TIMEOUT_S + RETRY_FIRST_S])
            assert d.entries == [result(1)]

    run(main())


def test_what_the_layer_lost_is_not_said_again():
    async def main() -> None:
        async with desk() as d:
            d.layer.losing = True
            d.put(result(1))
            await d.outbox.flushed()
            d.layer.losing = False
            d.put(result(2))
            await d.outbox.flushed()
            assert d.entries == [result(2)]
            assert d.taken == [[result(1)], [result(2)]]

    run(main())


# What the layer has taken


def test_the_owner_hears_which_closing_entries_were_taken():
    async def main() -> None:
        async with desk() as d:
            d.put(Started(1, 1), Token(1, 0, 5, "a", -0.5), result(1), Error(2, "inference", "It failed."), returned(4))
            await d.outbox.flushed()
            assert d.taken == [[result(1), Error(2, "inference", "It failed."), returned(4)]]

    run(main())


def test_nothing_is_taken_before_the_send_has_returned():
    async def main() -> None:
        async with desk() as d:
            d.layer.delay_s = 1
            d.put(result(1))
            await asyncio.sleep(0.999)
            before = list(d.taken)
            await asyncio.sleep(0.002)
            assert (before, d.taken) == ([], [[result(1)]])

    run(main())


def test_nothing_is_taken_while_the_layer_refuses():
    async def main() -> None:
        async with desk() as d:
            d.layer.refusing = True
            d.put(result(1))
            await asyncio.sleep(10)
            assert d.taken == []

    run(main())


# Status


def test_a_status_is_made_when_it_is_sent():
    async def main() -> None:
        async with desk() as d:
            d.layer.refusing = True
            d.outbox.status_due()
            await asyncio.sleep(1)
            d.truth = 7
            d.layer.refusing = False
            await d.outbox.flushed()
            assert d.said == [status(7)]

    run(main())


def test_a_status_that_is_due_many_times_is_sent_once():
    async def main() -> None:
        async with desk() as d:
            for _ in range(10):
                d.outbox.status_due()
            await d.outbox.flushed()
            assert d.said == [status()]

    run(main())


def test_a_status_that_becomes_due_while_one_is_sent_is_sent_too():
    async def main() -> None:
        async with desk() as d:
            d.layer.delay_s = 0.5
            d.outbox.status_due()
            await asyncio.sleep(0.1)
            d.truth = 7
            d.outbox.status_due()
            await d.outbox.flushed()
            assert d.said == [status(0), status(7)]

    run(main())


def test_a_status_follows_the_entries_that_were_put_before_it():
    async def main() -> None:
        async with desk() as d:
            d.outbox.status_due()
            d.put(result(1))
            await d.outbox.flushed()
            assert [type(message) for message in d.said] == [Replies, Status]

    run(main())


def test_a_status_knows_what_was_taken_before_it():
    async def main() -> None:
        layer, held = FaultyLayer(), {1}
        outbox = Outbox(
            layer, WEB, "w", lambda: status(len(held)), lambda closings: held.difference_update(c.id for c in closings)
        )
        running = asyncio.create_task(outbox.run())
        outbox.put(result(1))
        outbox.status_due()
        await outbox.flushed()
        running.cancel()
        assert layer.said_to(WEB)[-1] == status(0)

    run(main())


# Flushing


def test_with_nothing_to_say_everything_is_flushed():
    async def main() -> None:
        async with desk() as d:
            await d.outbox.flushed()
            assert now_s() == 0

    run(main())


@pytest.mark.parametrize("say", [lambda outbox: outbox.put(result(1)), Outbox.status_due], ids=["entry", "status"])
def test_flushing_waits_until_the_layer_has_taken_it(say: Callable[[Outbox], None]):
    async def main() -> None:
        async with desk() as d:
            d.layer.delay_s = 1
            say(d.outbox)
            await d.outbox.flushed()
            assert len(d.said) == 1
            assert now_s() >= 1

    run(main())


def test_flushing_waits_for_what_is_said_meanwhile():
    async def main() -> None:
        async with desk() as d:
            d.layer.delay_s = 1
            d.put(result(1))
            asyncio.get_running_loop().call_later(0.5, d.put, result(2))
            await d.outbox.flushed()
            assert d.entries == [result(1), result(2)]

    run(main())


# One send


def test_a_single_send_is_tried_once():
    async def main() -> None:
        layer = FaultyLayer()
        await send_once(layer, WEB, Cancel(WEB, (1,)))
        layer.refusing = True
        with pytest.raises(ChannelFull):
            await send_once(layer, WEB, Cancel(WEB, (2,)))
        assert layer.said_to(WEB) == [Cancel(WEB, (1,))]

    run(main())


def test_a_single_send_gives_up_on_a_frozen_layer():
    async def main() -> None:
        layer = FaultyLayer()
        layer.frozen = True
        with pytest.raises(TimeoutError):
            await send_once(layer, WEB, Cancel(WEB, (1,)))
        assert now_s() == SEND_TIMEOUT_S

    run(main())


# Receiving


class Reader:
    """``receive_forever`` at work, and what it gave."""

    def __init__(self, take: Callable[[Any], Any] | None = None) -> None:
        self.layer = FaultyLayer()
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
    failed = "The channel layer fails (receiving: OSError('{}')); what is under way waits for it"
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


def test_envelopes_are_of_the_size_that_the_protocol_promises():
    assert ENVELOPE_BYTES == 512 * 1024
    assert len(msgspec.msgpack.encode(result(1, 0))) < 200


# Ending tasks


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
        await end(tasks)
        assert all(task.cancelled() for task in tasks)

    run(main())


def test_what_a_task_died_of_does_not_stop_ending_the_others():
    async def dies() -> None:
        raise OSError

    async def main() -> None:
        tasks = [asyncio.create_task(dies()), asyncio.create_task(stubborn(0))]
        await asyncio.sleep(1)
        await end(tasks)
        assert [task.cancelled() for task in tasks] == [False, True]

    run(main())


def test_ending_nothing_takes_no_time():
    async def main() -> None:
        await end([])
        assert now_s() == 0

    run(main())
