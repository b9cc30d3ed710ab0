"""Pages of other origins, over HTTP, server-sent events and WebSocket: what a browser lets them do."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests import processes
from tests.browser import CHROMIUM, Pages, pages
from tests.conftest import client
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)

ALLOWED, OTHER = "app.example", "other.example"
PAGE = """<!doctype html><title>A page of another origin</title><script>
const http = "$HTTP", seen = {};
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

(async () => {
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
  await fetch("/report", {method: "POST", body: JSON.stringify(seen)});
})();
</script>"""


@pytest.fixture(scope="module")
def browsed() -> Iterator[Pages]:
    with pages(processes.free_port()) as served:
        yield served


@pytest.fixture(scope="module")
def server(browsed: Pages) -> Iterator[Web]:
    env = processes.FAKE | {"INFERENCE_TASK": "text-generation"}
    with processes.web(env=env | {"INFERENCE_CORS_ORIGINS": browsed.origin(ALLOWED)}) as server:
        yield server
        assert "Traceback" not in server.log()


@pytest.fixture(scope="module")
def seen(browsed: Pages, server: Web, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By host, what its page could do."""
    if not CHROMIUM:
        pytest.skip("there is no Chromium")
    page = PAGE.replace("$HTTP", server.url)
    return browsed.run(page, [ALLOWED, OTHER], tmp_path_factory.mktemp("browser"))


def test_a_page_that_is_allowed_uses_everything(seen: dict[str, Any]) -> None:
    did = seen[ALLOWED]
    for name in ("json", "key", "text"):
        assert (did[name]["status"], did[name]["pipeline"]) == (200, "default"), did[name]
        assert did[name]["body"][0].keys() == {"generated_text"}
    assert did["json"]["id"] == "of-the-page"
    assert (did["info"]["status"], did["info"]["body"]["default"]) == (200, "default")
    assert did["stream"] == {"type": "text/event-stream", "events": 3}
    assert did["socket"] == ["generated_text"]


def test_a_page_that_is_allowed_reads_errors(seen: dict[str, Any]) -> None:
    did = seen[ALLOWED]
    for name, status, code in (
        ("wrong", 400, "validation"),
        ("nowhere", 404, "not_found"),
        ("no pipeline", 404, "not_found"),
    ):
        assert (did[name]["status"], did[name]["body"]["error_type"]) == (status, code), name


def test_no_page_sends_cookies_or_reads_the_pages_of_the_project(seen: dict[str, Any]) -> None:
    did = seen[ALLOWED]
    assert {name: did[name] for name in ("method", "cookies", "admin")} == dict.fromkeys(
        ("method", "cookies", "admin"), "TypeError"
    )


def test_any_other_page_can_do_nothing(seen: dict[str, Any]) -> None:
    did = seen[OTHER]
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
def test_a_path_says_which_methods_it_has(http: httpx.Client, browsed: Pages, path: str, methods: str) -> None:
    plain = http.options(path)
    assert (plain.status_code, plain.content, plain.headers["allow"]) == (204, b"", methods)
    assert "content-length" not in plain.headers
    assert not any(name.startswith("access-control-") for name in plain.headers)

    asked = {"origin": browsed.origin(ALLOWED), "access-control-request-method": "POST"}
    preflight = http.options(path, headers=asked | {"access-control-request-headers": "content-type, x-mine"})
    assert preflight.status_code == 204
    assert {name: preflight.headers[name] for name in preflight.headers if name.startswith("access-control-allow")} == {
        "access-control-allow-origin": browsed.origin(ALLOWED),
        "access-control-allow-methods": methods,
        "access-control-allow-headers": "content-type, x-mine",
    }
    assert preflight.headers["vary"] == "origin"

    refused = http.options(path, headers=asked | {"origin": browsed.origin(OTHER)})
    assert (refused.status_code, refused.json().get("error_type", "forbidden")) == (403, "forbidden")
    assert "INFERENCE_CORS_ORIGINS" in refused.json()["error"]
    assert "access-control-allow-origin" not in refused.headers


def test_a_socket_is_for_pages_that_are_allowed(server: Web, browsed: Pages) -> None:
    with connect(server.socket_url, additional_headers={"origin": browsed.origin(ALLOWED)}, proxy=None) as opened:
        opened.send(json.dumps({"type": "ping"}))
        assert json.loads(opened.recv()) == {"type": "pong"}
    with pytest.raises(InvalidStatus) as refused:
        connect(server.socket_url, additional_headers={"origin": browsed.origin(OTHER)}, proxy=None).__enter__()
    answer = refused.value.response
    assert (answer.status_code, json.loads(answer.body or b"")["error_type"]) == (403, "forbidden")
    assert b"INFERENCE_CORS_ORIGINS" in (answer.body or b"")
