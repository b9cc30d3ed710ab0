import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from hypothesis import HealthCheck, settings

from inference.messaging.envelopes import ENVELOPE_BYTES
from inference.messaging.layer import (
    RETRY_FIRST_S,
    RETRY_LAST_S,
    SEND_INTERVAL_S,
    SEND_TIMEOUT_S,
)
from inference.messaging.messages import (
    Cleared,
    Closing,
    Error,
    Event,
    HostStatus,
    Message,
    Replies,
    Result,
    Returned,
    Started,
    Token,
)
from inference.messaging.previous_release import Status
from inference.worker.outbox import Outbox
from tests.messaging.recording_layer import RecordingLayer, now_s
from tests.virtual_time import run

WEB = "inference.web.a"

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


def status(heard: int = 0) -> HostStatus:
    return HostStatus(host="w", channel="inference.worker.w", heard=heard, state="ready", webs=1, held=(), workers=())


class Desk:
    """An outbox that runs, and what its owner hears of it."""

    def __init__(self) -> None:
        self.layer = RecordingLayer()
        self.truth = 0
        """What a status says when it is made."""
        self.taken: list[list[Closing]] = []
        self.outbox = Outbox(self.layer, WEB, "w", self.taken.append)

    def put(self, *entries: Event | Closing) -> None:
        for entry in entries:
            self.outbox.put(entry)

    def status_due(self) -> None:
        self.outbox.due("status", lambda: status(self.truth))

    @property
    def said(self) -> list[Message | Status]:
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
                d.status_due()
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
            d.put(Started(1, 1), Cleared(1), Token(1, 0, 5, "a", -0.5))
            d.put(result(1), Error(2, "inference", "It failed."), returned(4))
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
            d.status_due()
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
                d.status_due()
            await d.outbox.flushed()
            assert d.said == [status()]

    run(main())


def test_a_status_that_becomes_due_while_one_is_sent_is_sent_too():
    async def main() -> None:
        async with desk() as d:
            d.layer.delay_s = 0.5
            d.status_due()
            await asyncio.sleep(0.1)
            d.truth = 7
            d.status_due()
            await d.outbox.flushed()
            assert d.said == [status(0), status(7)]

    run(main())


def test_a_status_follows_the_entries_that_were_put_before_it():
    async def main() -> None:
        async with desk() as d:
            d.status_due()
            d.put(result(1))
            await d.outbox.flushed()
            assert [type(message) for message in d.said] == [Replies, HostStatus]

    run(main())


def test_a_status_knows_what_was_taken_before_it():
    async def main() -> None:
        layer, held = RecordingLayer(), {1}
        outbox = Outbox(layer, WEB, "w", lambda closings: held.difference_update(c.id for c in closings))
        running = asyncio.create_task(outbox.run())
        outbox.put(result(1))
        outbox.due("status", lambda: status(len(held)))
        await outbox.flushed()
        running.cancel()
        assert layer.said_to(WEB)[-1] == status(0)

    run(main())


def test_of_each_name_the_last_that_is_due_is_sent_and_all_names_are():
    async def main() -> None:
        async with desk() as d:
            for heard in range(3):
                d.outbox.due("status", partial(status, heard))
                d.outbox.due("other", partial(status, 10 + heard))
            await d.outbox.flushed()
            assert d.said == [status(2), status(12)]

    run(main())


def test_where_there_is_nothing_to_send_after_all_nothing_is_sent():
    async def main() -> None:
        async with desk() as d:
            d.outbox.due("status", lambda: None)
            d.put(result(1))
            await d.outbox.flushed()
            assert d.said == [Replies("w", (result(1),))]

    run(main())


# Flushing


def test_with_nothing_to_say_everything_is_flushed():
    async def main() -> None:
        async with desk() as d:
            await d.outbox.flushed()
            assert now_s() == 0

    run(main())


@pytest.mark.parametrize("say", [lambda d: d.put(result(1)), Desk.status_due], ids=["entry", "status"])
def test_flushing_waits_until_the_layer_has_taken_it(say: Callable[[Desk], None]):
    async def main() -> None:
        async with desk() as d:
            d.layer.delay_s = 1
            say(d)
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
