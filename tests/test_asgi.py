"""Inference below a prefix, beside an application of somebody else."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from channels.testing import HttpCommunicator, WebsocketCommunicator

from inference import application as ours
from inference.asgi import wrap
from inference.testing import FakePipeline, running
from tests.processes import ROOT

HOST = (b"host", b"localhost")
TEXT = b"The sky is [MASK]."


async def shop(scope: Any, receive: Any, send: Any) -> None:
    """Answers every path with what it was asked, and echoes on its socket."""
    if scope["type"] == "http":
        body = json.dumps([scope["method"], scope["path"], scope.get("root_path", "")]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"server", b"shop")]})
        await send({"type": "http.response.body", "body": body})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


@pytest.fixture(autouse=True)
def _fake_pipeline() -> Iterator[None]:
    with running(FakePipeline()):
        yield


Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def ask() -> Ask:
    application: Any = wrap(shop, prefix="/inference")

    async def ask(method: str, path: str, body: bytes = b"", **scope: Any) -> Any:
        communicator: Any = HttpCommunicator(application, method, path, body=body, headers=[HOST])
        communicator.scope.update(scope | {"http_version": "1.1"})
        return await communicator.get_response(timeout=20)

    return ask


async def test_the_model_answers_below_the_prefix(ask: Ask):
    reply = await ask("POST", "/inference/", TEXT)
    assert reply["status"] == 200
    assert json.loads(reply["body"])[0]["sequence"] == "The sky is word."


@pytest.mark.parametrize("path", ["/", "/inferences/", "/inferenc", "/shop/inference/", "/health/live"])
async def test_everything_else_is_for_the_application(ask: Ask, path: str):
    reply = await ask("POST", path, TEXT)
    assert json.loads(reply["body"]) == ["POST", path, ""]
    assert reply["headers"] == [(b"server", b"shop")], "none of ours"


async def test_what_does_not_exist_below_the_prefix_is_ours(ask: Ask):
    reply = await ask("GET", "/inference/none")
    assert (reply["status"], json.loads(reply["body"])["error_type"]) == (404, "not_found")
    assert b"x-request-id" in dict(reply["headers"])


@pytest.mark.parametrize("path", ["/inference/health/live", "/inference/health/ready"])
async def test_health_is_below_the_prefix(ask: Ask, path: str):
    assert (await ask("GET", path))["status"] == 200


@pytest.mark.parametrize("path", ["/inference", "/inference/"])
async def test_the_front_page_shows_the_addresses_below_the_prefix(ask: Ask, path: str):
    page = (await ask("GET", path))["body"].decode()
    for expected in ("http://localhost/inference/", "ws://localhost/inference/ws/", 'href="/inference/health/ready"'):
        assert expected in page
    assert "http://localhost/ " not in page


@pytest.mark.parametrize("path", ["/app/inference/health/live", "/inference/health/live"])
async def test_a_proxy_may_strip_the_path_of_the_server_or_not(ask: Ask, path: str):
    assert (await ask("GET", path, root_path="/app"))["status"] == 200


async def test_the_root_path_ends_at_a_segment(ask: Ask):
    assert json.loads((await ask("GET", "/inferences", root_path="/inf"))["body"])[1] == "/inferences"


async def test_the_server_may_be_mounted_as_well(ask: Ask):
    """As with ``daphne --root-path``."""
    page = (await ask("GET", "/app/inference/", root_path="/app"))["body"].decode()
    assert 'href="/app/inference/metrics"' in page
    reply = await ask("GET", "/app/other", root_path="/app")
    assert json.loads(reply["body"]) == ["GET", "/app/other", "/app"]


async def test_sockets_of_both():
    application: Any = wrap(shop, prefix="/inference")
    ours = WebsocketCommunicator(application, "/inference/ws/", headers=[HOST])
    assert (await ours.connect())[0]
    await ours.send_json_to({"type": "ping", "id": "a"})
    assert await ours.receive_json_from() == {"type": "pong", "id": "a"}
    await ours.disconnect()
    theirs = WebsocketCommunicator(application, "/ws/", headers=[HOST])
    assert (await theirs.connect())[0]
    await theirs.send_to("hello")
    assert await theirs.receive_from() == "hello"
    await theirs.disconnect()
    nowhere = WebsocketCommunicator(application, "/inference/none/", headers=[HOST])
    assert not (await nowhere.connect())[0]


@pytest.mark.parametrize("prefix", ["inference", "/inference/", "/"])
def test_a_prefix_that_cannot_be_is_one_sentence(prefix: str):
    with pytest.raises(
        ValueError, match=rf"^The prefix is '{prefix}'; it must begin with a slash and not end with one: "
    ):
        wrap(shop, prefix=prefix)


# Lifespan


class Lifespan:
    """A server's side of it: what the application sends after each event."""

    def __init__(self, application: Any) -> None:
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._running = asyncio.ensure_future(application({"type": "lifespan"}, self._events.get, self.sent.put))

    async def __call__(self, event: str) -> Any:
        await self._events.put({"type": f"lifespan.{event}"})
        sending = asyncio.ensure_future(self.sent.get())
        await asyncio.wait([sending, self._running], return_when=asyncio.FIRST_COMPLETED)
        return await sending if sending.done() else await self._running


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What we do, in order."""
    events: list[str] = []

    async def drain() -> None:
        events.append("we drain")

    monkeypatch.setattr(ours, "_start", lambda: events.append("we start"))
    monkeypatch.setattr(ours, "_drain", drain)
    return events


async def does_not_know_it(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("only HTTP")


async def returns_at_once(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("project", [does_not_know_it, returns_at_once])
async def test_a_project_need_not_know_lifespan(events: list[str], project: Any):
    lifespan = Lifespan(wrap(project, "/inference"))
    assert await lifespan("startup") == {"type": "lifespan.startup.complete"}
    assert events == ["we start"]
    assert await lifespan("shutdown") == {"type": "lifespan.shutdown.complete"}
    assert events == ["we start", "we drain"]


async def test_the_lifespan_of_a_project_is_within_ours(events: list[str]):
    async def project(scope: Any, receive: Any, send: Any) -> None:
        for event in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{event}"
            events.append(f"{event} of the project")
            await send({"type": f"lifespan.{event}.complete"})

    lifespan = Lifespan(wrap(project, "/inference"))
    assert await lifespan("startup") == {"type": "lifespan.startup.complete"}
    assert await lifespan("shutdown") == {"type": "lifespan.shutdown.complete"}
    assert events == ["we start", "startup of the project", "we drain", "shutdown of the project"]


async def test_a_project_that_fails_to_start_says_so_to_the_server(events: list[str]):
    async def project(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no stock"})

    assert (await Lifespan(wrap(project))("startup"))["message"] == "no stock"


async def test_a_project_that_crashes_at_its_startup_does_so_for_the_server(events: list[str]):
    async def project(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("no database")

    with pytest.raises(RuntimeError, match="no database"):
        await Lifespan(wrap(project))("startup")


# Before Django is ready


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("from inference.asgi import wrap; wrap(None)", "Inference is used before Django is set up: in asgi.py call"),
        ("import inference; inference.stream('a')", "Inference is used before Django is set up: in asgi.py call"),
        (
            "import django, inference; from django.conf import settings; settings.configure(); django.setup(); "
            "inference.infer_sync('a')",
            "Inference is used, but 'inference' is not in INSTALLED_APPS.",
        ),
    ],
    ids=["wrap", "stream", "not installed"],
)
def test_what_is_used_too_early_says_so(code: str, sentence: str):
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1].startswith(f"django.core.exceptions.ImproperlyConfigured: {sentence}")
