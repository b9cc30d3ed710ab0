"""The WebSocket consumer with a dialect that fails."""

import asyncio
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from inference import conf
from inference.access.checking import Access
from inference.access.principal import Principal
from inference.api.dialects.base import Start
from inference.api.websocket import SocketConsumer
from inference.errors import InferenceError
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.result import RequestResult
from tests.serving.results import make_result

QUERY = Query(inputs=["a"], many=False)


class FailingWriter:
    """Cannot write a result."""

    def end(self, result: RequestResult) -> Iterable[str]:
        yield "the first frame"
        raise ValueError("a bug of the dialect")

    def error(self, error: InferenceError) -> str:
        return error.code


class FailingSocket:
    def receive(self, frame: str, deployment: Any, pipeline: str | None) -> Start:
        return Start(frame, lambda: QUERY)

    def writer(self, client_id: str, context: RequestContext) -> FailingWriter:
        return FailingWriter()


class Service:
    """Answers at once."""

    def __init__(self) -> None:
        self.conf = conf.Conf()
        self.access = Access(self.conf)
        self.draining = asyncio.Event()

    catalog: Any = None

    def seen_by(self, _: Principal) -> "Service":
        return self

    def most_body_bytes(self, *_: object) -> int:
        return self.conf.max_body_bytes

    async def answer(self, *_: Any) -> RequestResult:
        return make_result(QUERY, [b"1"])


class LaneSocket(FailingSocket):
    """A frame is the name of a lane, and a number."""

    def __init__(self, course: list[str]) -> None:
        self._course = course

    def receive(self, frame: str, deployment: Any, pipeline: str | None) -> Start:
        def read() -> Query:
            self._course.append(f"{frame} read")
            return QUERY

        return Start(frame, read, lane=frame[0])

    def writer(self, client_id: str, context: RequestContext) -> Any:
        return SimpleNamespace(end=lambda result: [client_id], error=lambda error: error.code)


class SlowService(Service):
    """Answers after a few turns of the loop."""

    async def answer(self, context: RequestContext, read: Callable[[], Query], *_: Any) -> RequestResult:
        read()
        for _turn in range(5):
            await asyncio.sleep(0)
        return make_result(QUERY, [b"1"])


async def test_requests_of_a_lane_are_read_and_answered_one_after_the_other(settings: Any):
    settings.ALLOWED_HOSTS = ["localhost"]
    course: list[str] = []
    events, sent = asyncio.Queue[dict[str, Any]](), asyncio.Queue[dict[str, Any]]()
    scope = {"type": "websocket", "headers": [(b"host", b"localhost")], "service": SlowService()}
    consumer: Any = SocketConsumer.as_asgi(make_socket=lambda: LaneSocket(course))
    serving = asyncio.ensure_future(consumer(scope, events.get, sent.put))
    events.put_nowait({"type": "websocket.connect"})
    assert (await sent.get())["type"] == "websocket.accept"
    frames = ["a1", "a2", "b1", "a3"]
    for frame in frames:
        events.put_nowait({"type": "websocket.receive", "text": frame})
    for _ in frames:
        course.append((await sent.get())["text"])
    assert [step for step in course if step.startswith("a")] == ["a1 read", "a1", "a2 read", "a2", "a3 read", "a3"]
    assert course.index("b1 read") < course.index("a1")
    events.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await serving


async def test_a_request_whose_last_frame_cannot_be_written_ends_in_an_error(settings: Any, caplog: Any):
    settings.ALLOWED_HOSTS = ["localhost"]
    events, sent = asyncio.Queue[dict[str, Any]](), asyncio.Queue[dict[str, Any]]()
    scope = {"type": "websocket", "headers": [(b"host", b"localhost")], "service": (service := Service())}
    consumer: Any = SocketConsumer.as_asgi(make_socket=FailingSocket)
    serving = asyncio.ensure_future(consumer(scope, events.get, sent.put))
    events.put_nowait({"type": "websocket.connect"})
    assert (await sent.get())["type"] == "websocket.accept"
    for _ in range(2):  # its id is free again
        events.put_nowait({"type": "websocket.receive", "text": "1"})
        assert (await sent.get())["text"] == "internal"
    service.draining.set()
    assert (await sent.get()) == {"type": "websocket.close", "code": 1012}
    events.put_nowait({"type": "websocket.disconnect", "code": 1012})
    await serving
    assert [str(record.exc_info[1]) for record in caplog.records] == ["a bug of the dialect"] * 2


@pytest.mark.parametrize("extensions", [None, {"websocket.http.response": {}}])
async def test_a_handshake_without_a_key_is_answered_as_the_server_can(settings: Any, extensions: Any):
    settings.ALLOWED_HOSTS = ["localhost"]
    service, sent, refused = Service(), asyncio.Queue[dict[str, Any]](), []
    service.access = Access(conf.Conf(access="keys"))
    service.access.table.replace([])
    service.refused = lambda context, error: refused.append(error)  # type: ignore[attr-defined]
    scope = {"type": "websocket", "path": "/v1/responses", "headers": [(b"host", b"localhost")], "service": service}
    scope |= {"extensions": extensions}
    events = asyncio.Queue[dict[str, Any]]()
    consumer: Any = SocketConsumer.as_asgi(make_socket=FailingSocket)
    serving = asyncio.ensure_future(consumer(scope, events.get, sent.put))
    events.put_nowait({"type": "websocket.connect"})
    answer = await sent.get()
    if extensions is None:
        assert (answer["type"], answer["error"].status) == ("websocket.close", 401)
        assert not refused, "the server logs it"
    else:
        body = await sent.get()
        assert (answer["status"], dict(answer["headers"])[b"www-authenticate"]) == (401, b"Bearer")
        assert b"invalid_api_key" in body["body"]
        assert [error.status for error in refused] == [401]
    events.put_nowait({"type": "websocket.disconnect", "code": 1006})
    await serving
