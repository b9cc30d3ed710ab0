"""Pages of other origins, over HTTP, server-sent events and WebSocket: what a browser lets them do."""

import functools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests import processes
from tests.browsing import tolerate
from tests.conftest import client
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)

ALLOWED, OTHER = "app.example", "other.example"
SCRIPT = """async (http) => {
const seen = {};
const json = {"content-type": "application/json", "x-request-id": "of-the-page"};

async function attempt(name, act) {
  try { seen[name] = await act(); } catch (error) { seen[name] = `${error.name}`; }
}

async function ask(path, options) {
  const reply = await fetch(http + path, options);
  const body = reply.headers.get("content-type")?.startsWith("application/json") ? await reply.json() : "";
  return {status: reply.status, id: reply.headers.get("x-request-id"), pipeline: reply.headers.get("x-pipeline"), body};
}

async function stream() {
  const body = JSON.stringify({inputs: "Once", stream: true, parameters: {max_new_tokens: 3}});
  const reply = await fetch(http + "/", {method: "POST", headers: json, body});
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return {type: reply.headers.get("content-type"), events: text.trim().split("\\n\\n").length};
    text += value;
  }
}

const socket = () => new Promise((resolve, reject) => {
  const opened = new WebSocket(http.replace("http", "ws") + "/ws/");
  opened.onopen = () => opened.send(JSON.stringify({type: "infer", id: "1", inputs: "Once"}));
  opened.onerror = () => reject(new Error("refused"));
  opened.onmessage = (message) => {
    const frame = JSON.parse(message.data);
    if (frame.type === "result") resolve(Object.keys(frame.output[0]));
  };
});

await attempt("json", () => ask("/", {method: "POST", headers: json, body: JSON.stringify({inputs: "Once"})}));
await attempt("key", () => ask("/", {method: "POST", headers: {authorization: "Bearer a"}, body: "Once"}));
await attempt("text", () => ask("/pipelines/default", {method: "POST", body: "Once"}));
await attempt("wrong", () => ask("/", {method: "POST", headers: json, body: "{"}));
await attempt("nowhere", () => ask("/none", {method: "POST", headers: json, body: "{}"}));
await attempt("no pipeline", () => ask("/pipelines/none", {method: "POST", headers: json, body: "{}"}));
await attempt("info", () => ask("/info"));
await attempt("method", () => ask("/", {method: "DELETE"}));
await attempt("cookies", () => ask("/info", {credentials: "include"}));
await attempt("admin", () => ask("/admin/login/"));
await attempt("stream", stream);
await attempt("socket", socket);
return seen;
}"""

Origin = Callable[[str], str]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """Of a host that has an empty page."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "index.html").write_text("<!doctype html><title>A page of another origin</title>")
    pages = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=folder))
    thread = threading.Thread(target=pages.serve_forever)
    thread.start()
    yield lambda host: f"http://{host}:{pages.server_port}"
    pages.shutdown()
    thread.join()
    pages.server_close()


@pytest.fixture(scope="module")
def server(origin: Origin) -> Iterator[Web]:
    env = processes.FAKE | {"INFERENCE_TASK": "text-generation"}
    with processes.web(env=env | {"INFERENCE_CORS_ORIGINS": origin(ALLOWED)}) as server:
        yield server
        assert "Traceback" not in server.log()


@pytest.fixture
def seen(page: Page, origin: Origin, server: Web) -> Callable[[str], dict[str, Any]]:
    """What the page of a host could do."""

    def run(host: str) -> dict[str, Any]:
        tolerate(page, "foreign: ", "console: ")
        page.goto(origin(host))
        did: dict[str, Any] = page.evaluate(SCRIPT, server.url)
        return did

    return run


def test_a_page_that_is_allowed_uses_everything(seen: Callable[[str], dict[str, Any]]) -> None:
    did = seen(ALLOWED)
    for name in ("json", "key", "text"):
        assert (did[name]["status"], did[name]["pipeline"]) == (200, "default"), did[name]
        assert did[name]["body"][0].keys() == {"generated_text"}
    assert did["json"]["id"] == "of-the-page"
    assert (did["info"]["status"], did["info"]["body"]["default"]) == (200, "default")
    assert did["stream"] == {"type": "text/event-stream", "events": 3}
    assert did["socket"] == ["generated_text"]


def test_a_page_that_is_allowed_reads_errors(seen: Callable[[str], dict[str, Any]]) -> None:
    did = seen(ALLOWED)
    for name, status, code in (
        ("wrong", 400, "validation"),
        ("nowhere", 404, "not_found"),
        ("no pipeline", 404, "not_found"),
    ):
        assert (did[name]["status"], did[name]["body"]["error_type"]) == (status, code), name


def test_no_page_sends_cookies_or_reads_the_pages_of_the_project(seen: Callable[[str], dict[str, Any]]) -> None:
    did = seen(ALLOWED)
    assert {name: did[name] for name in ("method", "cookies", "admin")} == dict.fromkeys(
        ("method", "cookies", "admin"), "TypeError"
    )


def test_any_other_page_can_do_nothing(seen: Callable[[str], dict[str, Any]]) -> None:
    did = seen(OTHER)
    assert did.pop("socket") == "Error"
    assert set(did.values()) == {"TypeError"}


# As bytes


@pytest.fixture
def http(server: Web) -> Iterator[httpx.Client]:
    with client(server) as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/", "GET, HEAD, POST"),
        ("/pipelines/default", "GET, HEAD, POST"),
        ("/health/ready", "GET, HEAD"),
        ("/info", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/v2/repository/index", "GET, HEAD, POST"),
    ],
)
def test_a_path_says_which_methods_it_has(http: httpx.Client, origin: Origin, path: str, methods: str) -> None:
    plain = http.options(path)
    assert (plain.status_code, plain.content, plain.headers["allow"]) == (204, b"", methods)
    assert "content-length" not in plain.headers
    assert not any(name.startswith("access-control-") for name in plain.headers)

    asked = {"origin": origin(ALLOWED), "access-control-request-method": "POST"}
    preflight = http.options(path, headers=asked | {"access-control-request-headers": "content-type, x-mine"})
    assert preflight.status_code == 204
    assert {name: preflight.headers[name] for name in preflight.headers if name.startswith("access-control-allow")} == {
        "access-control-allow-origin": origin(ALLOWED),
        "access-control-allow-methods": methods,
        "access-control-allow-headers": "content-type, x-mine",
    }
    assert preflight.headers["vary"] == "origin"

    refused = http.options(path, headers=asked | {"origin": origin(OTHER)})
    assert (refused.status_code, refused.json().get("error_type", "forbidden")) == (403, "forbidden")
    assert "INFERENCE_CORS_ORIGINS" in refused.json()["error"]
    assert "access-control-allow-origin" not in refused.headers


def test_a_socket_is_for_pages_that_are_allowed(server: Web, origin: Origin) -> None:
    with connect(server.socket_url, additional_headers={"origin": origin(ALLOWED)}, proxy=None) as opened:
        opened.send(json.dumps({"type": "ping"}))
        assert json.loads(opened.recv()) == {"type": "pong"}
    with pytest.raises(InvalidStatus) as refused:
        connect(server.socket_url, additional_headers={"origin": origin(OTHER)}, proxy=None).__enter__()
    answer = refused.value.response
    assert (answer.status_code, json.loads(answer.body or b"")["error_type"]) == (403, "forbidden")
    assert b"INFERENCE_CORS_ORIGINS" in (answer.body or b"")
