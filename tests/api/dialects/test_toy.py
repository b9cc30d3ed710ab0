"""Adding a dialect is adding a file: all that clients see of a server on its paths is written by it."""

import re
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from inference.api.dialects import registry
from inference.api.dialects.native import DIALECT
from inference.conf import Conf
from inference.server import refusals
from inference.server.http_connection import Connection
from tests import conftest, processes
from tests.processes import Web
from tests.toydialect import ToyDialect, ToyEndpoint

TOY = "text/x-toy"
RESERVED = "/health and /info and /metrics and /openapi.json and /docs and /playground and /assets and /pipelines/"
PAGE = "https://app.example.com"
TOO_MUCH = 3000
"""Bytes of a body; 2,048 are allowed."""


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    env = processes.FAKE | processes.new_hold().env | {"INFERENCE_TASK": "text-generation"}
    env |= {"INFERENCE_MAX_BODY_BYTES": "2048", "INFERENCE_MAX_PENDING": "2", "INFERENCE_MAX_INPUTS": "2"}
    env |= {"DJANGO_SETTINGS_MODULE": "tests.toysite", "INFERENCE_CORS_ORIGINS": PAGE}
    with processes.web(env=env) as server:
        yield server


@pytest.fixture
def with_toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyDialect]:
    """Served in this process, too."""
    toy = ToyDialect()
    monkeypatch.setattr(registry, "_dialects", [*registry.served(), toy])
    refusals._endpoints.cache_clear()  # what another test of this process has asked for
    yield toy
    refusals._endpoints.cache_clear()


@pytest.fixture
def http(server: Web) -> Iterator[httpx.Client]:
    with conftest.client(server) as opened:
        yield opened


def refused(reply: httpx.Response, status: int, code: str) -> None:
    assert (reply.status_code, reply.headers["content-type"]) == (status, TOY), reply.text
    assert reply.text.startswith(f"! {code}: ")
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/toy/", "/pipelines/default/toy/"])
def test_answers_are_those_of_the_dialect(http: httpx.Client, path: str):
    reply = http.post(path, content="Once")
    assert (reply.status_code, reply.headers["content-type"]) == (200, TOY)
    assert reply.text.startswith('= [{"generated_text":')


def test_streams_are_those_of_the_dialect(http: httpx.Client):
    reply = http.post("/toy/", content="?stream Once")
    assert re.fullmatch(r"\+ 0\.0\n\+ 0\.1\n\. 0 eos_token seed \d+\n= end\n", reply.text)


def test_several_texts_are_streamed_at_once_each_with_a_seed_of_its_own(http: httpx.Client):
    *lines, end = http.post("/toy/", content="?stream ?two Once").text.splitlines()
    assert end == "= end"
    ends = [line for line in lines if line.startswith(".")]
    seeds = [int(line.split()[-1]) for line in sorted(ends)]
    assert seeds[1] == seeds[0] + 1
    for number in "01":
        of_one = [line for line in lines if line[2] == number]
        assert of_one == [f"+ {number}.0", f"+ {number}.1", f". {number} eos_token seed {seeds[int(number)]}"]


def test_several_answers_to_one_input(http: httpx.Client):
    assert len(http.post("/toy/", content="?two Once").text.splitlines()) == 2


@pytest.mark.parametrize("path", ["/toy/of/default", "/toy/of/default/", "/pipelines/default/toy/of/default"])
def test_a_pipeline_is_named_in_the_path(http: httpx.Client, path: str):
    reply = http.post(path, content="Once")
    assert (reply.status_code, reply.headers["x-pipeline"]) == (200, "default")


@pytest.mark.parametrize(
    ("path", "answer"), [("/toy/list", "default"), ("/toy/list/default", "default"), ("/toy/list/", "default")]
)
def test_a_resource_is_answered_at_once(http: httpx.Client, path: str, answer: str):
    assert http.get(path).text == answer
    head = http.head(path)
    assert (head.status_code, head.text, head.headers["content-length"]) == (200, "", str(len(answer)))


def test_the_native_dialect_is_where_it_was(http: httpx.Client):
    assert http.post("/", content="Once").headers["content-type"] == "application/json"
    assert http.post("/", content="").json()["error_type"] == "empty"


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status", "code"),
    [
        ("POST", "/toy/", "", {}, 400, "validation"),
        ("POST", "/toy/", "  ", {}, 400, "empty"),
        ("PUT", "/toy/", "a", {}, 405, "method_not_allowed"),
        ("GET", "/toy/", None, {}, 405, "method_not_allowed"),
        ("POST", "/toy/none", "a", {}, 404, "not_found"),
        ("POST", "/toy/none", "a", {"host": "elsewhere.example"}, 400, "validation"),
        ("POST", "/toy/", "a", {"host": "elsewhere.example"}, 400, "validation"),
        ("POST", "/toy/", "a", {"origin": "http://elsewhere.example"}, 403, "forbidden"),
        ("POST", "/toy/", TOO_MUCH * "a", {}, 413, "payload_too_large"),
        ("POST", "/pipelines/default/toy/", "", {}, 400, "validation"),
        ("POST", "/toy/of/nobody", "a", {}, 404, "not_found"),
        ("GET", "/toy/list/nobody", None, {}, 404, "not_found"),
        ("POST", "/toy/list", "a", {}, 405, "method_not_allowed"),
        ("PUT", "/pipelines/default/toy/", "a", {}, 405, "method_not_allowed"),
        ("POST", "/pipelines/default/toy/none", "a", {}, 404, "not_found"),
        ("POST", "/pipelines/default/toy/", TOO_MUCH * "a", {}, 413, "payload_too_large"),
        ("POST", "/pipelines/default/toy/", "a", {"host": "elsewhere.example"}, 400, "validation"),
        ("POST", "/pipelines/default/toy/", "a", {"origin": "http://elsewhere.example"}, 403, "forbidden"),
        ("POST", "/pipelines/nope/toy/", "a", {}, 404, "not_found"),
        ("GET", "/pipelines/nope/toy/none", None, {}, 404, "not_found"),
        ("POST", "/pipelines/acme/nope/toy/", "a", {}, 404, "not_found"),
        ("POST", "/pipelines/nope/toy/", TOO_MUCH * "a", {}, 413, "payload_too_large"),
    ],
    ids=str,
)
def test_errors_are_those_of_the_dialect(
    http: httpx.Client, method: str, path: str, content: str | None, headers: dict[str, str], status: int, code: str
):
    refused(http.request(method, path, content=content, headers=headers), status, code)


def test_a_stream_can_be_read_by_a_page_of_an_allowed_origin(http: httpx.Client):
    reply = http.post("/toy/", content="?stream Once", headers={"origin": PAGE})
    assert reply.text.endswith("= end\n")
    assert reply.headers["access-control-allow-origin"] == PAGE
    assert reply.headers["access-control-expose-headers"] == "x-model-version, x-pipeline"


@pytest.mark.parametrize("path", ["/none", "/toys", "/pipelines/nope", "/pipelines/acme/nope", "/pipelines/nope/none"])
def test_an_error_of_no_known_path_is_native(http: httpx.Client, path: str):
    assert http.get(path).json()["error_type"] == "not_found"


def test_a_body_of_unknown_length_that_is_too_large_is_refused_in_the_dialect(http: httpx.Client):
    refused(http.post("/toy/", content=iter([b"a" * TOO_MUCH])), 413, "payload_too_large")


def test_a_head_that_is_no_http_is_refused_in_the_dialect_of_its_path(server: Web):
    with socket.create_connection(("127.0.0.1", server.port), timeout=conftest.CLIENT_S) as connection:
        connection.sendall(b"POST /toy/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: soon\r\n\r\n")
        assert b"\r\n\r\n! validation: " in connection.recv(4096)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /toy/ HTTP/1.1\r\nX: " + 20_000 * b"x",
        b"GET /toy/?" + 20_000 * b"x",
        b"GET /pipelines/a/toy/" + 20_000 * b"x",
    ],
    ids=["header", "request line", "request line of a pipeline"],
)
def test_a_head_that_is_too_large_is_refused_in_the_dialect_of_its_path(server: Web, head: bytes):
    with socket.create_connection(("127.0.0.1", server.port), timeout=conftest.CLIENT_S) as connection:
        connection.sendall(head)
        assert b"\r\n\r\n! headers_too_large: " in connection.recv(4096)


def test_the_beginning_of_a_request_says_how_it_is_refused(with_toy: ToyDialect):
    """When the rest of its body does not come."""
    connection: Any = Connection()
    connection.factory = SimpleNamespace(server=SimpleNamespace(root_path=""))
    connection._incomplete = f"POST /pipelines/default/toy/ HTTP/1.1\r\norigin: {PAGE}\r\n\r\norigin: a".encode()
    refused = connection.refused()
    assert (refused.dialect, refused.pipeline, refused.header(b"origin")) == (with_toy, "default", PAGE)


@pytest.mark.parametrize(
    ("path", "native"),
    [
        ("/toy/", False),
        ("/toy", False),
        ("/toys", True),
        ("/toy/a/b", False),
        ("/pipelines/default/toy", False),
        ("/pipelines/default/a/toy/", True),
        ("/pipelines/acme/topics/toy/a", False),
        ("/pipelines/acme/topics/a/toy/", True),
        ("/pipelines/nope/toy", False),
        ("/pipelines/acme/nope/toy/a", False),
        ("/pipelines/a/b/c/toy/", True),
        ("/pipelines/toy/", True),
        ("/pipelines/a", True),
    ],
)
def test_the_longest_prefix_decides_also_where_no_pipeline_is(
    settings: Any, with_toy: ToyDialect, path: str, *, native: bool
):
    model = {"task": "fill-mask", "model": "a/model"}
    settings.INFERENCE = Conf(pipelines={"default": model, "topics": model | {"aliases": ["acme/topics"]}})
    assert registry.of_path(path) is (DIALECT if native else with_toy)


@pytest.mark.parametrize(("path", "mark"), [("/toy/", b"! validation: "), ("/", b'"error_type":"validation"')])
def test_a_header_that_daphne_refuses_is_refused_in_the_dialect_of_its_path(server: Web, path: str, mark: bytes):
    """It has read the whole request by then."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nCookie: \x1c\r\nContent-Length: 1\r\n\r\na"
    with socket.create_connection(("127.0.0.1", server.port), timeout=conftest.CLIENT_S) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert mark in answer


@pytest.mark.parametrize("target", ["*", "foo", "http://localhost/toy/"])
@pytest.mark.parametrize("length", [1, TOO_MUCH])
def test_a_target_that_is_no_path_gets_an_answer(server: Web, target: str, length: int):
    head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=conftest.CLIENT_S) as connection:
        connection.sendall(head.encode() + length * b"a")
        assert connection.recv(4096).startswith(b"HTTP/1.1 404 " if length == 1 else b"HTTP/1.1 413 ")


def test_overload_is_refused_in_the_dialect(server: Web, http: httpx.Client):
    """By the server, before the application sees the request."""
    with server.hold(), connect(f"ws://127.0.0.1:{server.port}/toy/ws/") as other:
        other.send("1 ?stream ?two Once")
        server.wait_for(lambda: server.hold.holds(server.pid), "the model has the first request")
        reply = http.post("/toy/", content="b", headers={"x-toy-seconds": "20", "origin": PAGE})
        refused(reply, 503, "overloaded")
        assert reply.headers["access-control-allow-origin"] == PAGE
        assert reply.headers["access-control-expose-headers"] == "x-toy-wait"
        for content in ("b", iter([b"b"])):  # a plain request is refused early, one in chunks by the consumer
            agent = {"x-toy-seconds": "20", "user-agent": "@huggingface/inference/4.13.30"}
            repeated = http.post("/toy/", content=content, headers=agent)
            refused(repeated, 429, "overloaded")
            assert repeated.headers["retry-after"] == "1"
        assert int(reply.headers["x-toy-wait"]) >= 1
        server.hold.end()
        assert str(other.recv()) == "1 + 0"


def test_a_socket_speaks_the_dialect(server: Web):
    with connect(f"ws://127.0.0.1:{server.port}/toy/ws/") as opened:
        for frame, expected in (
            ("1 hello", "1 hello"),
            ("1", "1 ! validation: Toys want a text."),
            ("1 stop", "1 ! validation: No open request"),
            ("1 ?stream Once", "1 + 0"),
        ):
            opened.send(frame)
            assert str(opened.recv()).startswith(expected)
        frames = [str(opened.recv()) for _ in range(2)]
        assert frames[0] == "1 + 1"
        assert frames[1].startswith('1 = [{"generated_text":')


def test_a_handshake_that_fails_is_refused_in_the_dialect(http: httpx.Client):
    headers = {"upgrade": "websocket", "connection": "upgrade", "origin": "http://elsewhere.example"}
    headers |= {"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==", "sec-websocket-version": "13"}
    refused(http.get("/toy/ws/", headers=headers), 403, "forbidden")


def test_two_dialects_cannot_serve_one_path():
    with pytest.raises(ValueError, match=r"^The dialect native serves POST /, which is served already\.$"):
        registry.register(DIALECT)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/health/mine", f"The dialect toy serves POST /health/mine; {RESERVED} are reserved."),
        ("/pipelines/mine", f"The dialect toy serves POST /pipelines/mine; {RESERVED} are reserved."),
        ("/toy/", "The dialect toy serves POST /toy/, which is served already."),
    ],
)
def test_a_dialect_cannot_serve_a_path_twice_nor_a_reserved_one(path: str, sentence: str):
    wrong: Any = ToyDialect()
    wrong.endpoints = (ToyEndpoint("/toy/"), ToyEndpoint(path))
    wrong.resources = ()
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        registry.register(wrong)


@pytest.mark.parametrize("target", ["*", "", "foo", "http://localhost/", "/", "/other", "/pipelines/", "/pipelines/a"])
def test_a_target_that_is_no_path_has_the_native_dialect(target: str):
    assert registry.of_path(target) is DIALECT


def test_the_dialects_of_the_package_are_found():
    assert DIALECT in registry.served()
