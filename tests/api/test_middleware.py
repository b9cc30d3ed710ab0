"""The outermost application: every request has an end, and whose event loop it runs on."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from inference.api.dialects import registry
from inference.api.middleware import Unfinished
from inference.api.routing import Application
from inference.asgi import wrap
from inference.conf import Conf
from tests.toydialect import ToyDialect

SCOPE = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/a", "headers": []}
START = {"type": "http.response.start", "status": 200, "headers": []}
PIECE = {"type": "http.response.body", "body": b"a piece", "more_body": True}
END = {"type": "http.response.body", "body": b"the end"}
GONE = {"type": "http.disconnect"}


@contextmanager
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One that runs on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[list[Any]]]:
    """Ask an application, behind the edge of a process that is on this loop or another; returns what it has said."""

    async def ask(application: Application, loop: Any = None, heard: Any = None, **service: Any) -> list[Any]:
        process = SimpleNamespace(
            loop=loop or asyncio.get_running_loop(),
            serve=lambda: None,
            service=SimpleNamespace(**{"draining": asyncio.Event()} | service),
        )
        monkeypatch.setattr("inference.process.web._current", process)
        here, said = asyncio.get_running_loop(), []

        async def receive() -> Any:
            assert asyncio.get_running_loop() is here
            return heard or await asyncio.Event().wait()

        async def send(message: dict[str, Any]) -> None:
            assert asyncio.get_running_loop() is here
            said.append(message)

        await wrap(application)(SCOPE, receive, send)
        return said

    return ask


def saying(*messages: Any, error: BaseException | None = None) -> Application:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        if error is not None:
            raise error

    return application


# An end


async def test_an_answer_that_ends_is_passed_on(ask: Any):
    started, *bodies = await ask(saying(START, PIECE, END))
    assert started["status"] == 200
    assert dict(started["headers"])[b"x-content-type-options"] == b"nosniff"
    assert bodies == [PIECE, END]


async def test_an_error_before_the_answer_is_answered(ask: Any):
    started, body = await ask(saying(error=ValueError()))
    assert started["status"] == 500
    assert b'"internal"' in body["body"]


async def test_an_error_is_answered_in_the_dialect_of_the_path(ask: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_dialects", [*registry.served(), ToyDialect()])
    monkeypatch.setitem(SCOPE, "path", "/toy/a")
    _, body = await ask(saying(error=ValueError()))
    assert body["body"].startswith(b"! internal: ")


async def test_a_page_that_is_allowed_reads_that_we_have_a_bug_and_no_answer_of_another_application(
    ask: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
):
    settings.INFERENCE = Conf(cors_origins=("https://a",))
    monkeypatch.setitem(SCOPE, "headers", [(b"origin", b"https://a")])
    bug, ok = [await ask(application) for application in (saying(error=ValueError()), saying(START, END))]
    assert dict(bug[0]["headers"])[b"access-control-allow-origin"] == b"https://a"
    assert b"access-control-allow-origin" not in dict(ok[0]["headers"])


@pytest.mark.parametrize("said", [(START,), (START, PIECE)])
@pytest.mark.parametrize("error", [ValueError(), None])
async def test_an_answer_without_an_end_is_told_to_the_server(ask: Any, said: Any, error: Exception | None):
    """Django returns as if all were well when the iterator of a streaming response is cancelled."""
    with pytest.raises(Unfinished, match=r"^The answer to GET /a has no end; its connection is closed\.$"):
        await ask(saying(*said, error=error))


async def test_no_answer_at_all_is_told_to_the_server(ask: Any):
    with pytest.raises(Unfinished):
        await ask(saying())


async def test_an_error_after_the_end_changes_nothing(ask: Any):
    assert (await ask(saying(START, END, error=ValueError())))[-1] == END


async def test_a_client_that_is_gone_needs_no_end(ask: Any):
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == GONE

    assert await ask(application, heard=GONE) == []


@pytest.mark.parametrize(("version", "said"), [("1.0", b"close"), ("1.1", b"close"), ("2", None)])
async def test_an_answer_of_a_process_that_stops_is_the_last_of_its_connection(
    ask: Any, monkeypatch: pytest.MonkeyPatch, version: str, said: bytes | None
):
    monkeypatch.setitem(SCOPE, "http_version", version)
    draining = asyncio.Event()
    assert b"connection" not in dict((await ask(saying(START, END), draining=draining))[0]["headers"])
    draining.set()
    assert dict((await ask(saying(START, END), draining=draining))[0]["headers"]).get(b"connection") == said


# Another loop


async def test_an_application_runs_on_the_loop_of_its_service(ask: Any):
    loops = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        loops.append(asyncio.get_running_loop())
        assert await receive() == GONE
        await saying(START, END)(scope, receive, send)

    with other_loop() as loop:
        started, body = await ask(application, loop, heard=GONE)
    assert loops == [loop]
    assert (started["status"], body) == (200, END)


async def test_what_goes_wrong_on_another_loop_is_told_to_the_server(ask: Any):
    with other_loop() as loop, pytest.raises(Unfinished):
        await ask(saying(START, error=ValueError()), loop)


async def test_a_request_that_is_cancelled_is_cancelled_on_the_other_loop_too(ask: Any):
    waits, cancelled = threading.Event(), threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        waits.set()
        try:
            await receive()
        finally:
            cancelled.set()

    with other_loop() as loop:
        asking = asyncio.create_task(ask(application, loop))
        assert await asyncio.to_thread(waits.wait, 20)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await asyncio.to_thread(cancelled.wait, 20)


async def test_an_application_may_stop_listening(ask: Any):
    """As Django and our consumers do when they have answered."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        listening = asyncio.create_task(receive())
        await asyncio.sleep(0)
        listening.cancel()
        await asyncio.wait([listening])
        await saying(START, END)(scope, receive, send)

    with other_loop() as loop:
        assert len(await ask(application, loop)) == 2
