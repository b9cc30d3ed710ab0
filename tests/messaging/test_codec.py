import enum
import functools
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from channels.layers import InMemoryChannelLayer
from django.utils.module_loading import import_string
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.messaging import redis_layer_settings
from inference.messaging.codec import TYPES, VERSION, UnknownMessage, decode, encode, size
from inference.messaging.messages import (
    Cancel,
    Cleared,
    CostModel,
    Description,
    Error,
    Facts,
    Generation,
    Go,
    Hello,
    HostStatus,
    Job,
    Message,
    Replies,
    Result,
    Returned,
    Started,
    State,
    Submit,
    Token,
    Totals,
    Want,
    WorkerStatus,
)
from inference.messaging.previous_release import Status
from tests.virtual_time import run

IDS = st.integers(0, 2**63 - 1)
COUNTS = st.integers(0, 2**31)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
JOBS = st.builds(
    Job,
    id=IDS,
    request_id=TEXTS,
    input=JSON,
    parameters=st.dictionaries(TEXTS, JSON, max_size=3),
    time_left_s=NUMBERS,
    alone=st.booleans(),
    events=st.booleans(),
    tokens=st.booleans(),
    resume=st.lists(COUNTS, max_size=5).map(tuple),
    arrays=st.booleans(),
)
DESCRIPTIONS = st.builds(
    Description,
    task=TEXTS,
    model=TEXTS,
    revision=TEXTS,
    device=TEXTS,
    dtype=TEXTS,
    threads=COUNTS,
    vocabulary=COUNTS,
    mask_token=TEXTS,
    longest_input=COUNTS,
    longest_input_chars=COUNTS,
    memory_mb=COUNTS,
    streams=st.booleans(),
    chat=st.booleans(),
)
TOKENS = st.builds(
    Token,
    IDS,
    COUNTS,
    COUNTS,
    TEXTS,
    NUMBERS,
    st.booleans(),
    st.binary(max_size=4),
    st.lists(st.tuples(COUNTS, TEXTS, NUMBERS), max_size=3).map(tuple),
)
GENERATIONS = st.builds(
    Generation,
    st.sampled_from(["length", "eos_token", "stop_sequence"]),
    COUNTS,
    COUNTS,
    NUMBERS,
    NUMBERS,
    st.none() | TOKENS,
)
ENTRIES = st.one_of(
    st.builds(Started, IDS, COUNTS),
    st.builds(Cleared, IDS),
    TOKENS,
    st.builds(
        Result,
        IDS,
        st.binary(max_size=50),
        NUMBERS,
        NUMBERS,
        COUNTS,
        st.none() | GENERATIONS,
        tokens=COUNTS,
        truncated=st.booleans(),
        shape=st.lists(COUNTS, max_size=3).map(tuple),
    ),
    st.builds(Error, IDS, TEXTS, TEXTS),
    st.builds(Returned, IDS, st.sampled_from(["cancelled", "expired", "draining", "full", "no_go"])),
)
COSTS = st.none() | st.builds(CostModel, NUMBERS, NUMBERS, NUMBERS)
TOTALS = st.builds(Totals, COUNTS, COUNTS, COUNTS, COUNTS)
WORKERS = st.builds(
    WorkerStatus,
    worker=TEXTS,
    pipeline=TEXTS,
    version=TEXTS,
    state=st.sampled_from(get_args(State)),
    reason=TEXTS,
    credit=COUNTS,
    queue_depth=COUNTS,
    share=NUMBERS,
    job_ms=NUMBERS,
    cost=COSTS,
    totals=TOTALS,
    facts_n=COUNTS,
)
EACH: dict[type[Message | Status], st.SearchStrategy[Message | Status]] = {
    Hello: st.builds(Hello, TEXTS, COUNTS, NUMBERS, COUNTS, st.booleans()),
    HostStatus: st.builds(
        HostStatus,
        host=TEXTS,
        channel=TEXTS,
        heard=COUNTS,
        state=st.sampled_from(get_args(State)),
        webs=COUNTS,
        held=st.lists(IDS, max_size=5).map(tuple),
        workers=st.lists(WORKERS, max_size=3).map(tuple),
    ),
    Want: st.builds(Want, TEXTS, st.lists(TEXTS, max_size=3).map(tuple)),
    Facts: st.builds(Facts, TEXTS, TEXTS, COUNTS, DESCRIPTIONS),
    Status: st.builds(
        Status,
        worker=TEXTS,
        channel=TEXTS,
        heard=COUNTS,
        state=st.sampled_from(get_args(State)),
        description=st.none() | DESCRIPTIONS,
        queue_depth=COUNTS,
        cost=COSTS,
        job_ms=NUMBERS,
        totals=TOTALS,
        webs=COUNTS,
        credit=COUNTS,
        held=st.lists(IDS, max_size=5).map(tuple),
    ),
    Submit: st.builds(Submit, TEXTS, st.lists(JOBS, max_size=4).map(tuple), TEXTS),
    Cancel: st.builds(Cancel, TEXTS, st.lists(IDS, max_size=5).map(tuple)),
    Go: st.builds(Go, TEXTS, IDS),
    Replies: st.builds(Replies, TEXTS, st.lists(ENTRIES, max_size=6).map(tuple)),
}
ANY = st.one_of(*EACH.values())
HELLO = Hello("inference.web.a", 1)

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


def submit(**fields: Any) -> Submit:
    job = Job(**{"id": 1, "request_id": "r", "input": "a text", "parameters": {}, "time_left_s": 1.0, **fields})
    return Submit("inference.web.a", (job,))


def test_every_kind_of_message_is_tried_here():
    assert set(EACH) == set(TYPES.values()) == {*get_args(Message), Status}


@steady
@given(ANY)
def test_what_was_encoded_is_what_is_decoded(message: Message | Status):
    assert decode(encode(message)) == message


@steady
@given(ANY)
def test_the_in_memory_layer_changes_nothing(message: Message | Status):
    async def through() -> Any:
        layer = InMemoryChannelLayer()
        await layer.send("channel", encode(message))
        return await layer.receive("channel")

    assert run(through()) == encode(message)


@steady
@given(ANY)
def test_the_redis_layer_makes_the_same_of_a_message_as_the_in_memory_layer(message: Message | Status):
    config = redis_layer_settings.redis("redis://127.0.0.1:1", "test", 60)
    redis_layer = import_string(config["BACKEND"])(**config["CONFIG"])
    assert redis_layer.deserialize(redis_layer.serialize(encode(message))) == encode(message)


@pytest.mark.parametrize("kind", EACH, ids=lambda kind: kind.__name__)
def test_a_message_on_the_layer_names_its_type_and_version(kind: type[Message | Status]):
    name = next(name for name, known in TYPES.items() if known is kind)

    @steady
    @given(EACH[kind])
    def named(message: Message | Status) -> None:
        raw = encode(message)
        assert raw.keys() == {"type", "version", "body"}
        assert (raw["type"], raw["version"], type(raw["body"])) == (name, VERSION, bytes)

    named()


@pytest.mark.parametrize("version", [VERSION + 1, 0, -1, str(VERSION), None, [VERSION]])
def test_another_version_is_unknown_whatever_it_holds(version: Any):
    with pytest.raises(UnknownMessage, match=r"^message version .*; this process understands version 1$"):
        decode(encode(HELLO) | {"version": version})


@pytest.mark.parametrize("kind", ["inference.other", "", None, 1, [], {}, b"inference.hello"])
def test_another_type_is_unknown(kind: Any):
    with pytest.raises(UnknownMessage, match=r"^message type "):
        decode(encode(HELLO) | {"type": kind})


@pytest.mark.parametrize("raw", [None, 1, "text", b"bytes", [], (), {}, {"type": "inference.hello"}])
def test_what_is_no_message_is_unknown(raw: Any):
    with pytest.raises(UnknownMessage, match="message version None"):
        decode(raw)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("missing", ["type", "version", "body"])
def test_a_message_without_one_of_its_parts_is_unknown(name: str, missing: str):
    raw = {"type": name, "version": VERSION, "body": msgspec.msgpack.encode({})}
    del raw[missing]
    with pytest.raises(UnknownMessage):
        decode(raw)


@pytest.mark.parametrize(
    "body", [None, "text", 5, [], b"", b"\xc1", msgspec.msgpack.encode([1]), encode(HELLO)["body"] * 2]
)
@pytest.mark.parametrize("name", TYPES)
def test_a_body_that_is_no_struct_is_unknown(name: str, body: Any):
    with pytest.raises(UnknownMessage, match=f"^message {name}: "):
        decode({"type": name, "version": VERSION, "body": body})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reply_channel": "a"},
        {"reply_channel": "a", "n": "1"},
        {"reply_channel": None, "n": 1},
        {"reply_channel": "a", "n": 1.5},
    ],
    ids=str,
)
def test_a_body_with_missing_or_wrong_fields_is_unknown(fields: dict[str, Any]):
    with pytest.raises(UnknownMessage, match=r"^message inference\.hello: "):
        decode({"type": "inference.hello", "version": VERSION, "body": msgspec.msgpack.encode(fields)})


def test_a_body_that_is_nested_without_end_is_unknown():
    deep = msgspec.Raw(b"\x91" * 100_000 + b"\xc0")
    job = {"id": 1, "request_id": "r", "input": deep, "parameters": {}, "time_left_s": 1.0}
    body = msgspec.msgpack.encode({"reply_channel": "a", "jobs": [job]})
    with pytest.raises(UnknownMessage, match=r"^message inference\.submit: "):
        decode({"type": "inference.submit", "version": VERSION, "body": body})


def test_a_text_that_is_not_utf_8_is_unknown():
    body = encode(Hello("aa", 1))["body"].replace(b"aa", b"\xff\xff")
    with pytest.raises(UnknownMessage, match=r"^message inference\.hello: "):
        decode({"type": "inference.hello", "version": VERSION, "body": body})


@steady
@given(ANY, st.data())
def test_a_damaged_body_is_a_message_or_unknown_and_nothing_else(message: Message | Status, data: st.DataObject):
    raw = encode(message)
    damaged = bytearray(raw["body"])
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(raw | {"body": bytes(damaged)})
    except UnknownMessage:
        return
    assert type(decoded) is type(message)


class Colour(enum.IntEnum):
    RED = 1


FOREIGN = [
    np.float64(0.5),
    np.float32(0.5),
    np.int64(1),
    np.bool_(True),
    np.str_("a"),
    np.array([1]),
    datetime(2026, 1, 1, tzinfo=UTC),
    date(2026, 1, 1),
    timedelta(seconds=1),
    {1},
    frozenset({1}),
    (1, 2),
    bytearray(b"bytes"),
    Decimal(1),
    uuid.UUID(int=1),
    Colour.RED,
    {1: "a name that is no text"},
    object(),
    HELLO,
]


@pytest.mark.parametrize("value", FOREIGN, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "nest", [lambda v: v, lambda v: [v], lambda v: {"a": [{"b": v}]}], ids=["bare", "list", "deep"]
)
def test_an_input_that_json_has_no_word_for_is_refused(value: Any, nest: Any):
    with pytest.raises(TypeError):
        size(nest(value))


@pytest.mark.parametrize("value", FOREIGN, ids=lambda value: type(value).__name__)
def test_a_parameter_that_json_has_no_word_for_is_refused(value: Any):
    with pytest.raises(TypeError):
        size({"top_k": value})


DEEP: list[Any] = functools.reduce(lambda inner, _: [inner], range(5000), [])


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, DEEP], ids=["large", "small", "deep"])
def test_json_that_messagepack_cannot_have_is_refused(value: Any):
    with pytest.raises(TypeError):
        size({"state": value})


def test_the_size_of_media_is_that_of_its_bytes():
    assert size(b"." * 1000) == 1000
    assert 1000 < size({"image": b"." * 1000, "question": "?"}) < 1040


def test_a_size_is_that_on_the_wire():
    assert size("ä" * 100) == 202


def test_entries_keep_their_order_and_kind():
    entries = (
        Started(1, 2),
        Result(1, b"{}", 1.0, 2.0, 2),
        Started(2, 2),
        Error(2, "empty", "No."),
        Returned(3, "full"),
    )
    assert decode(encode(Replies("w", entries))) == Replies("w", entries)
