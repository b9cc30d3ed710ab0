import pytest
from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer

from inference.messaging.layer import SEND_INTERVAL_S, SEND_TIMEOUT_S, send, send_interval_of
from inference.messaging.messages import Cancel, Job, Submit
from tests.messaging.recording_layer import RecordingLayer, now_s
from tests.virtual_time import run

WEB = "inference.web.a"


def test_a_single_send_is_tried_once():
    async def main() -> None:
        layer = RecordingLayer()
        await send(layer, WEB, Cancel(WEB, (1,)))
        layer.refusing = True
        with pytest.raises(ChannelFull):
            await send(layer, WEB, Cancel(WEB, (2,)))
        assert layer.said_to(WEB) == [Cancel(WEB, (1,))]

    run(main())


def test_a_single_send_gives_up_on_a_frozen_layer():
    async def main() -> None:
        layer = RecordingLayer()
        layer.frozen = True
        with pytest.raises(TimeoutError):
            await send(layer, WEB, Cancel(WEB, (1,)))
        assert now_s() == SEND_TIMEOUT_S

    run(main())


def test_a_large_message_may_take_as_long_as_its_size_needs():
    async def main() -> None:
        layer = RecordingLayer()
        layer.frozen = True
        job = Job(id=1, request_id="r", input=b"." * 8_000_000, parameters={}, time_left_s=1.0)
        with pytest.raises(TimeoutError):
            await send(layer, WEB, Submit(WEB, (job,), "w"))
        assert now_s() == SEND_TIMEOUT_S + 2

    run(main())


def test_only_in_memory_there_is_nothing_to_pace():
    assert send_interval_of(InMemoryChannelLayer()) == 0
    assert send_interval_of(RecordingLayer()) == SEND_INTERVAL_S
