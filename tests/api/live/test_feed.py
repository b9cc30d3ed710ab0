"""What open pages are sent: everything once, then what has changed, and nothing that they may not see."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from django.db import InterfaceError

from inference import catalog
from inference.api.live import feed as feed_module
from inference.api.live.feed import AT_ONCE, SEES_INPUTS, VIEW, LiveFeed, State
from inference.api.live.rows import MOST_ERRORS
from inference.conf import Conf
from inference.errors import Overloaded
from inference.messaging.messages import Facts, HostProcess
from inference.request_log.writer import RequestLog
from inference.scheduling.dispatcher import Dispatcher
from inference.serving.context import RequestContext
from inference.serving.recent_errors import MOST
from inference.serving.service import Service
from tests.messaging.recording_layer import RecordingLayer
from tests.scheduling.test_host_registry import DESCRIPTION, part, status

PIPELINE = "default"
SECRET = "'my secret' is too long"


class Page:
    """Takes frames."""

    def __init__(self, *permissions: str, session_key: str = "session") -> None:
        self.session_key = session_key
        self.permissions: frozenset[str] | None = frozenset((VIEW, *permissions))
        self.knows_all = False
        self.frames: asyncio.Queue[str] = asyncio.Queue()
        self.lost = False

    def say(self, frame: str) -> None:
        self.frames.put_nowait(frame)

    def lost_permission(self) -> None:
        self.lost = True

    async def frame(self) -> dict[str, list[dict[str, str]]]:
        return msgspec.json.decode(await self.frames.get())  # type: ignore[no-any-return]


@pytest.fixture
async def service() -> Service:
    conf = Conf()
    dispatcher = Dispatcher(RecordingLayer(), catalog.current().names)
    return Service(conf, catalog.current(), dispatcher, RequestLog())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "PERIOD_S", 0.01)
    monkeypatch.setattr(feed_module, "CHECK_EVERY_S", 0.01)


@pytest.fixture
def feed(service: Service, quick: None) -> LiveFeed:
    return LiveFeed(service)


def refuse(service: Service) -> None:
    service.refused(RequestContext(transport="http"), Overloaded(SECRET), PIPELINE)


def report(service: Service, **fields: Any) -> None:
    """A host with one worker says how it is."""
    host = msgspec.structs.replace(
        status("h", part("w", pipeline=PIPELINE, facts_n=1, **fields)),
        process=HostProcess("gpu-1", 4242, 2048, 8, 5.5),
    )
    service.dispatcher._on_status(host)
    service.dispatcher._on_facts(Facts("h", "w", 1, DESCRIPTION))


async def test_a_page_gets_everything_once_and_then_what_has_changed(service: Service, feed: LiveFeed):
    page = Page()
    feed.join(page)
    first = await page.frame()
    assert {"process", "pipelines", "workers", "hosts", "errors"} == set(first)
    assert first["workers"] == []
    report(service, running=3, queue_depth=5)
    frames = [await page.frame()]
    while "workers" not in frames[-1]:
        frames.append(await page.frame())
    (worker,) = frames[-1]["workers"]
    assert (worker["name"], worker["state"], worker["running"], worker["waiting"]) == (
        PIPELINE,
        "ready",
        "batch of 3",
        "5",
    )
    (host,) = frames[-1]["hosts"]
    assert (host["name"], host["pid"], host["memory"], host["cores"]) == ("gpu-1", "4242", "2,048 MB", "5.5 of 8 cores")
    assert "errors" not in frames[-1]
    assert not {"workers", "errors"} & set(await page.frame())
    late = Page()
    feed.join(late)
    assert set(await late.frame()) == set(first)
    feed.leave(page)
    feed.leave(late)


async def test_messages_are_for_those_who_may_see_inputs(service: Service, feed: LiveFeed):
    refuse(service)
    pages = Page(), Page(SEES_INPUTS)
    for page in pages:
        feed.join(page)
    without, with_messages = [(await page.frame())["errors"][0] for page in pages]
    assert "message" not in without
    assert with_messages["message"] == SECRET
    assert without["code"] == with_messages["code"] == "overloaded"
    assert feed.state(messages=True)["errors"][0]["message"] == SECRET
    assert SECRET not in repr(feed.state(messages=False))
    for page in pages:
        feed.leave(page)


async def test_what_was_shown_stays_when_newer_errors_push_it_out(service: Service, feed: LiveFeed):
    refused = service.recent_errors._refused
    refused.extend((1000.0 + n, "refused", PIPELINE, "overloaded", "", f"{n}", "http") for n in range(5))
    service.recent_errors.added += 5
    assert [row["count"] for row in feed.state(messages=False)["errors"]] == ["5"]
    refused.extend([(1005.0, "refused", PIPELINE, "overloaded", "", "b", "http")])
    refused.extend((2000.0, "refused", PIPELINE, "loading", "", "c", "http") for _ in range(MOST - 1))
    service.recent_errors.added += MOST
    errors = feed.state(messages=False)["errors"]
    assert [(row["code"], row["count"]) for row in errors] == [
        ("loading", f"{MOST - 1}"),
        ("overloaded", "5 or more"),
    ]
    assert errors[1]["request_id"] == "b"
    refused.extend((3000.0 + 10 * n, "refused", PIPELINE, "overloaded", "", "d", "http") for n in range(MOST))
    service.recent_errors.added += MOST
    assert len(feed.state(messages=False)["errors"]) == MOST_ERRORS


async def test_permissions_are_looked_up_again_while_pages_are_open(feed: LiveFeed, monkeypatch: pytest.MonkeyPatch):
    now: dict[str, frozenset[str] | None] = {"stays": frozenset({VIEW}), "left": None, "lost": frozenset()}
    asked: list[set[str]] = []

    async def permissions_of(keys: set[str], names: Any) -> dict[str, Any]:
        asked.append(set(keys))
        return {key: now[key] for key in keys}

    monkeypatch.setattr(feed_module, "permissions_of", permissions_of)
    pages = {key: Page(SEES_INPUTS, session_key=key) for key in now}
    for page in pages.values():
        feed.join(page)
    await _until(lambda: pages["left"].lost and pages["lost"].lost)
    assert not pages["stays"].lost
    assert asked[0] == set(now)  # one visit to the database for all
    await _until(lambda: pages["stays"].permissions == frozenset({VIEW}))
    await _until(lambda: len(asked) > 1)
    for page in pages.values():
        feed.leave(page)


async def test_a_look_at_permissions_that_fails_is_not_the_last(feed: LiveFeed, monkeypatch: pytest.MonkeyPatch):
    """Whatever fails: that of a driver is no ``DatabaseError``, and sessions may be in another store."""
    failures = [InterfaceError("connection already closed"), ConnectionError("no Redis")]

    async def permissions_of(keys: set[str], names: tuple[str, ...]) -> dict[str, frozenset[str] | None]:
        if failures:
            raise failures.pop()
        return dict.fromkeys(keys)

    monkeypatch.setattr(feed_module, "permissions_of", permissions_of)
    feed.join(page := Page())
    await _until(lambda: page.lost)


async def test_nothing_runs_while_no_page_is_open(feed: LiveFeed):
    before = asyncio.all_tasks()
    page = Page()
    feed.join(page)
    assert len(asyncio.all_tasks() - before) == 2
    await page.frame()
    feed.leave(page)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    again = Page()
    feed.join(again)  # what the first one knew does not matter
    assert "pipelines" in await again.frame()
    feed.leave(again)


async def test_one_snapshot_serves_all_pages(feed: LiveFeed, monkeypatch: pytest.MonkeyPatch):
    made: list[str] = []
    state = feed._shared_state

    def counted() -> State:
        made.append("a snapshot")
        return state()

    monkeypatch.setattr(feed, "_shared_state", counted)
    monkeypatch.setattr(feed_module, "PERIOD_S", 60.0)
    monkeypatch.setattr(feed_module, "SPREAD", 0.0)
    pages = [Page() for _ in range(3 * AT_ONCE + 1)]
    for page in pages:
        feed.join(page)
    frames = [await page.frames.get() for page in pages]
    assert len(made) == 1
    assert all(frame is frames[0] for frame in frames)  # and encoded once
    for page in pages:
        feed.leave(page)


async def test_rates_are_of_the_last_seconds(service: Service, feed: LiveFeed):
    page = Page()
    feed.join(page)
    assert (await page.frame())["pipelines"][0]["refused"] == "–"
    for _ in range(1000):
        refuse(service)
    await _until(lambda: feed.state(messages=False)["pipelines"][0]["refused"] not in ("–", "0"))
    assert feed.state(messages=False)["pipelines"][0]["failed"] == "0"
    feed.leave(page)


async def test_a_snapshot_that_fails_does_not_end_the_feed(
    service: Service, feed: LiveFeed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    works = service.metrics.outcomes
    failures = [ValueError("a bug")]

    def outcomes() -> Any:
        if failures:
            raise failures.pop()
        return works()

    monkeypatch.setattr(service.metrics, "outcomes", outcomes)
    page = Page()
    feed.join(page)
    assert "pipelines" in await page.frame()
    assert "The live pages got no snapshot" in caplog.text
    feed.leave(page)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
