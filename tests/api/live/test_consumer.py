"""The socket of a page that does not read, and of one while the database is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.db import DatabaseError

from inference import catalog
from inference.api.live import consumer as consumer_module
from inference.api.live.consumer import MOST_WAITING_BYTES, LiveConsumer
from inference.api.live.feed import VIEW, feed_of
from inference.conf import Conf
from inference.request_log.writer import RequestLog
from inference.scheduling.dispatcher import Dispatcher
from inference.serving.service import Service
from tests.messaging.recording_layer import RecordingLayer
from tests.observability.test_metrics import value

pytestmark = pytest.mark.timeout(20)
HEADERS = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"cookie", b"sessionid=a")]


class Browser:
    """Takes messages while ``reads`` is set."""

    def __init__(self) -> None:
        self.service = Service(Conf(), catalog.current(), Dispatcher(RecordingLayer()), RequestLog())
        self.reads = asyncio.Event()
        self.taken: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        scope = {"type": "websocket", "path": "/ws/live/", "headers": HEADERS, "service": self.service}
        self._sent.put_nowait({"type": "websocket.connect"})
        consumer: Any = LiveConsumer.as_asgi()
        task: asyncio.Task[None] = asyncio.create_task(consumer(scope, self._sent.get, self._take))
        yield
        self._sent.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await task
        assert len(feed_of(self.service)) == 0

    async def _take(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.taken.put_nowait(message)


def allow(monkeypatch: pytest.MonkeyPatch, permissions: frozenset[str] | None) -> None:
    async def permissions_of(keys: list[str], names: Any) -> dict[str, Any]:
        return dict.fromkeys(keys, permissions)

    monkeypatch.setattr(consumer_module, "permissions_of", permissions_of)


async def test_a_page_that_does_not_read_is_cut_off_and_holds_no_memory(monkeypatch: pytest.MonkeyPatch):
    allow(monkeypatch, frozenset({VIEW}))
    browser = Browser()
    async with browser.opened():
        browser.reads.set()
        assert (await browser.taken.get())["type"] == "websocket.accept"
        browser.reads.clear()
        (page,) = feed_of(browser.service)._pages
        frame, said = "x" * (MOST_WAITING_BYTES // 4), 0
        while len(feed_of(browser.service)):
            page.say(frame)
            said += 1
        assert said == 6
        browser.reads.set()
        taken = [await browser.taken.get()]
        while taken[-1]["type"] != "websocket.close":
            taken.append(await browser.taken.get())
        assert len(taken) <= 3  # frames that were being sent are not stopped
        assert taken[-1]["code"] == 1008
    cut_off = value(browser.service.metrics, "inference_slow_reader_disconnects_total", transport="websocket")
    assert cut_off == 1


@pytest.mark.parametrize("permissions", [None, frozenset()])
async def test_it_is_refused_without_the_permission(permissions: Any, monkeypatch: pytest.MonkeyPatch):
    allow(monkeypatch, permissions)
    browser = Browser()
    browser.reads.set()
    async with browser.opened():
        refused = await browser.taken.get()
        assert (refused["type"], refused["error"].status) == ("websocket.close", 403)


async def test_it_is_refused_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch):
    async def permissions_of(*_: Any) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(consumer_module, "permissions_of", permissions_of)
    browser = Browser()
    browser.reads.set()
    async with browser.opened():
        assert (await browser.taken.get())["error"].status == 503
