"""What is said on a WebSocket of a server that waits for its client; as Daphne does not."""

import asyncio
from typing import Any

import pytest

from inference import conf
from inference.access.checking import Access
from inference.access.principal import Principal
from inference.api.dialects.native.frames import NativeSocket
from inference.api.outgoing import Outgoing
from inference.api.websocket import SocketConsumer

pytestmark = pytest.mark.timeout(20)
PING = {"type": "websocket.receive", "text": '{"type": "ping", "id": "%s"}' % ("a" * 60)}
INFER = {"type": "websocket.receive", "text": '{"type": "infer", "id": "a", "inputs": "b"}'}


class Server:
    """Takes messages while ``reads`` is set."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.taken: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.taken.put_nowait(message)


async def test_what_is_said_is_sent_in_order_and_until_the_close():
    server, given_up = Server(), list[int]()
    server.reads.set()
    outgoing = Outgoing(10, given_up.append)
    writing = asyncio.create_task(outgoing.write(server.send))
    for frame in ("one", "two"):
        outgoing.say(frame)
    outgoing.close(1012)
    outgoing.say("too late")
    outgoing.close(1008)
    await writing
    taken = [server.taken.get_nowait() for _ in range(server.taken.qsize())]
    assert [message.get("text", message.get("code")) for message in taken] == ["one", "two", 1012]
    assert not given_up


async def test_what_was_taken_counts_no_more():
    server, given_up = Server(), list[int]()
    server.reads.set()
    outgoing = Outgoing(10, given_up.append)
    writing = asyncio.create_task(outgoing.write(server.send))
    for _ in range(100):
        outgoing.say("x" * 1000)
        await server.taken.get()
    writing.cancel()
    assert not given_up


async def test_one_answer_may_be_larger_than_the_bound_and_bytes_count():
    given_up = list[int]()
    outgoing = Outgoing(10, given_up.append)
    outgoing.say("\u00e4" * 5)
    outgoing.say("x" * 1000)
    assert not given_up
    outgoing.say("more")
    assert given_up == [1010]


class Service:
    """One that never answers."""

    def __init__(self) -> None:
        self.conf = conf.Conf(max_reply_bytes=1024)
        self.access = Access(self.conf)
        self.draining = asyncio.Event()
        self.metrics = self
        self.cut: list[str] = []
        self.cancelled = asyncio.Event()

    catalog: Any = None

    def seen_by(self, _: Principal) -> "Service":
        return self

    def cut_off(self, transport: str) -> None:
        self.cut.append(transport)

    def most_body_bytes(self, *_: object) -> int:
        return self.conf.max_body_bytes

    async def answer(self, *_: Any, **__: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


async def test_a_client_that_does_not_read_is_cut_off(settings: Any):
    settings.ALLOWED_HOSTS = ["localhost"]
    service, server, events = Service(), Server(), asyncio.Queue[dict[str, Any]]()
    scope = {"type": "websocket", "headers": [(b"host", b"localhost")], "client": ["1.2.3.4", 5], "service": service}
    serving = asyncio.ensure_future(SocketConsumer.as_asgi(make_socket=NativeSocket)(scope, events.get, server.send))
    for event in ({"type": "websocket.connect"}, INFER, *[PING] * 100):
        events.put_nowait(event)

    await service.cancelled.wait()
    service.draining.set()
    server.reads.set()
    taken = [await server.taken.get(), await server.taken.get()]
    events.put_nowait({"type": "websocket.disconnect", "code": 1008})
    await serving

    accepted, closed = taken
    assert accepted["type"] == "websocket.accept"
    assert closed == {"type": "websocket.close", "code": 1008}, "what waited is dropped"
    assert server.taken.empty()
    assert service.cut == ["websocket"]
