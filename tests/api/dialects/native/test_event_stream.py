"""Server-sent events, as the stock client's own parser reads them."""

import asyncio
import json
from typing import Any

import pytest
from huggingface_hub.errors import OverloadedError, TextGenerationError, ValidationError
from huggingface_hub.inference._common import _format_text_generation_stream_output as read_event

from inference.api.dialects.native import event_stream
from inference.api.event_stream import EventStream
from inference.errors import DeadlineExceeded, InferenceError, Invalid, Overloaded
from inference.messaging.messages import Generation, Token
from tests.serving.test_generation_result import make_transcript, token

USER = {"role": "user", "content": "Hello"}


def line(event: bytes) -> str:
    """The one line of an event, which an empty line ends."""
    text = event.decode()
    assert text.endswith("\n\n")
    assert text.count("\n") == 2
    return text.strip()


def test_a_token_is_read_by_the_stock_client():
    written = event_stream.write_token(Token(9, 0, 17, "é\n", -0.25, special=True))
    assert read_event(line(written), details=False) == "é\n"
    output: Any = read_event(line(written), details=True)
    assert (output.index, output.generated_text, output.details) == (1, None, None)
    assert output.token == {"id": 17, "text": "é\n", "logprob": -0.25, "special": True}


def finished(**fields: Any) -> Any:
    generation_result = make_transcript(" b", seed=5, **fields)
    generation_result.finish(Generation("stop_sequence", 3, 2, 1.0, 1.0, token(1, " c")))
    return generation_result


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, " b c"),
        ({"full_text": False}, " b c"),
        ({"full_text": True}, "a b c"),
        ({"given": [USER]}, " b c"),
    ],
    ids=str,
)
def test_the_last_event_has_the_text_and_how_it_ended(fields: Any, text: str):
    output: Any = read_event(line(event_stream.write_end(finished(**fields))), details=True)
    assert output.index == 2
    assert output.token.text == " c"
    assert output.generated_text == text
    assert output.details == {
        "finish_reason": "stop_sequence",
        "generated_tokens": 2,
        "seed": 5,
        "input_length": 3,
    }


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (Overloaded("Later."), OverloadedError),
        (Invalid("No."), ValidationError),
        (DeadlineExceeded("Late."), TextGenerationError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_raised_by_the_stock_client(error: InferenceError, raised: type[Exception]):
    with pytest.raises(raised, match=error.message):
        read_event(line(event_stream.write_error(error)), details=True)


def test_details_are_put_beside_the_pipelines_answer():
    written = json.loads(event_stream.write_details(finished(), b'[{"generated_text": "a b c"}]'))
    assert written[0]["generated_text"] == "a b c"
    details = written[0]["details"]
    assert (details["finish_reason"], details["generated_tokens"], details["seed"]) == ("stop_sequence", 2, 5)
    assert [each["text"] for each in details["tokens"]] == [" b", " c"]
    assert details["prefill"] == []


def test_headers_keep_proxies_from_collecting():
    headers = dict(event_stream.write_headers("r"))
    assert headers[b"content-type"] == b"text/event-stream"
    assert (headers[b"cache-control"], headers[b"x-accel-buffering"]) == (b"no-cache", b"no")
    assert headers[b"x-request-id"] == b"r"
    assert not [name for name in headers if name.endswith(b"-time")]


# Written while it comes about


class Consumer:
    """Sends as slowly as it is told; keeps what was sent."""

    def __init__(self) -> None:
        self.headers: list[Any] = []
        self.pieces: list[tuple[bytes, bool]] = []
        self.may_send = asyncio.Event()

    async def send_headers(self, *, status: int, headers: Any) -> None:
        self.headers.append((status, headers))

    async def send_body(self, body: bytes, *, more_body: bool = False) -> None:
        await self.may_send.wait()
        self.pieces.append((body, more_body))


@pytest.fixture
async def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
async def stream(consumer: Consumer) -> EventStream:
    return EventStream(consumer, [(b"a", b"b")])  # type: ignore[arg-type]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nothing_is_sent_before_the_first_token(consumer: Consumer, stream: EventStream):
    await settle()
    assert not stream.begun
    assert consumer.headers == []


async def test_a_token_is_sent_at_once(consumer: Consumer, stream: EventStream):
    consumer.may_send.set()
    stream.put(token(0, "a"))
    await settle()
    assert consumer.headers == [(200, [(b"a", b"b")])]
    assert consumer.pieces == [(event_stream.write_token(token(0, "a")), True)]


async def test_what_comes_during_a_write_goes_out_together(consumer: Consumer, stream: EventStream):
    for index in range(4):
        stream.put(token(index, "a"))
        await settle()
    consumer.may_send.set()
    await stream.end(b"end")
    events = [event_stream.write_token(token(index, "a")) for index in range(4)]
    assert consumer.pieces == [(events[0], True), (b"".join(events[1:]), True), (b"end", False)]
    assert len(consumer.headers) == 1


async def test_a_stream_without_tokens_begins_with_its_end(consumer: Consumer, stream: EventStream):
    consumer.may_send.set()
    await stream.end(b"end")
    assert consumer.pieces == [(b"end", False)]
    assert len(consumer.headers) == 1


async def test_after_it_was_abandoned_nothing_is_sent(consumer: Consumer, stream: EventStream):
    stream.put(token(0, "a"))
    stream.abandon()
    consumer.may_send.set()
    await settle()
    assert consumer.headers == []
    assert consumer.pieces == []
