from collections import deque

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.messaging.codec import encode
from inference.messaging.envelopes import ENVELOPE_BYTES, pack
from inference.messaging.messages import Replies, Result, Returned

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


def result(job_id: int, size: int = 2) -> Result:
    return Result(job_id, b"x" * size, 1.0, 2.0, 3)


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
    queue = deque(Returned(2**40 + number, "cancelled") for number in range(20_000))
    packed = pack(queue, lambda entry: 0)
    assert len(encode(Replies("w", tuple(packed)))["body"]) <= ENVELOPE_BYTES
    assert len(packed) > 1000


def test_packing_nothing_is_nothing():
    assert pack(deque[int](), lambda entry: entry) == []


def test_envelopes_are_of_the_size_that_the_protocol_promises():
    assert ENVELOPE_BYTES == 512 * 1024
    assert len(msgspec.msgpack.encode(result(1, 0))) < 200
