"""An answer that is sent while it is generated, to a client that may be slow."""

import asyncio
from typing import Any

import pytest

from inference.api.dialects.base import Headers
from inference.api.streaming import StreamedAnswer
from inference.errors import InferenceError, Internal
from inference.messaging.messages import Token
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult, Served
from tests.serving.results import make_result
from tests.serving.test_generation_result import make_generation, token


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


class Writer:
    """Of a dialect in which a token is its text."""

    def __init__(self) -> None:
        self.headers: Headers = [(b"c", b"d")]

    def token(self, token: Token, generation: GenerationResult) -> bytes:
        return token.text.encode()

    def finished(self, generation: GenerationResult) -> bytes:
        return b""

    def end(self, result: RequestResult) -> bytes:
        return b"end"

    def error(self, error: InferenceError) -> bytes:
        return error.code.encode()


SERVED = Served("chat", "1a2b")
RESULT = make_result(Query(inputs=["a"], many=False), served=SERVED, generation=make_generation())


@pytest.fixture
async def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
async def stream(consumer: Consumer) -> StreamedAnswer:
    stream = StreamedAnswer(consumer, [(b"a", b"b")])  # type: ignore[arg-type]
    stream.use(Writer())
    return stream


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nothing_is_sent_before_the_first_token(consumer: Consumer, stream: StreamedAnswer):
    await settle()
    assert not stream.begun
    assert consumer.headers == []


async def test_a_token_is_sent_at_once(consumer: Consumer, stream: StreamedAnswer):
    consumer.may_send.set()
    stream.token(token(0, "a"), make_generation())
    await settle()
    assert consumer.headers == [(200, [(b"c", b"d"), (b"a", b"b")])]
    assert consumer.pieces == [(b"a", True)]


async def test_the_headers_of_an_admitted_request_say_what_answers(consumer: Consumer, stream: StreamedAnswer):
    consumer.may_send.set()
    stream.admitted(SERVED)
    await stream.end(RESULT)
    known = [(b"c", b"d"), (b"a", b"b"), (b"x-pipeline", b"chat"), (b"x-model-version", b"1a2b")]
    assert consumer.headers == [(200, known)]


async def test_what_comes_during_a_write_goes_out_together(consumer: Consumer, stream: StreamedAnswer):
    for index in range(4):
        stream.token(token(index, str(index)), make_generation())
        await settle()
    consumer.may_send.set()
    await stream.end(RESULT)
    assert consumer.pieces == [(b"0", True), (b"123", True), (b"end", False)]
    assert len(consumer.headers) == 1


async def test_a_stream_without_tokens_begins_with_its_end(consumer: Consumer, stream: StreamedAnswer):
    consumer.may_send.set()
    await stream.end(RESULT)
    assert consumer.pieces == [(b"end", False)]
    assert len(consumer.headers) == 1


async def test_a_stream_that_fails_ends_in_its_error(consumer: Consumer, stream: StreamedAnswer):
    consumer.may_send.set()
    stream.token(token(0, "a"), make_generation())
    await stream.fail(Internal("No."))
    assert consumer.pieces == [(b"a", True), (b"internal", False)]


async def test_after_it_was_abandoned_nothing_is_sent(consumer: Consumer, stream: StreamedAnswer):
    stream.token(token(0, "a"), make_generation())
    stream.abandon()
    consumer.may_send.set()
    await settle()
    assert consumer.headers == []
    assert consumer.pieces == []
