"""Inference below a prefix, beside an application of somebody else."""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from channels.testing import HttpCommunicator, WebsocketCommunicator

from inference.asgi import wrap
from inference.testing import FakePipeline, running

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
