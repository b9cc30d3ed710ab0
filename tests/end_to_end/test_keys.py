"""A deployment that wants keys: two web servers with one database, a worker, Redis."""

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import httpx
import pytest
from django.utils import timezone
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as aconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from inference.access.checking import ENDED, NO_KEY, NOT_A_KEY
from inference.access.keys import make
from inference.access.wrong_keys import MOST_WRONG
from inference.api.dialects import registry
from inference.api.routing import MONITORING
from inference.application import PAGES
from inference.errors import Unauthorized
from inference.pages.playground_page import PlaygroundPage
from inference.serving.context import RequestContext
from tests import processes
from tests.conftest import CLIENT_S, client
from tests.keyring import Keyring
from tests.processes import Redis, Web, Worker, wait_until

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

PROBES = ("/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
NAMES = {"pipeline": "words", "version": "1", "owner": "acme", "model": "words"}
CATALOG = '[chat]\ntask = "text-generation"\nmodel = "acme/chat"\n\n[words]\ntask = "fill-mask"\nmodel = "acme/words"\n'
TEXT = "test [MASK]"
ORIGIN = "https://page.example"
CLOSED_PAGES = [path for path, page in PAGES.items() if page is not PlaygroundPage]
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "POST"}
OWN = ("x-request-id", "x-total-time", "content-length", "date")
"""Headers that two equal answers need not have in common."""
PROXY = ["--proxy-headers"]
ADDRESSES = map("10.0.{}.{}".format, *zip(*[(n // 250, n % 250) for n in range(10_000)], strict=True))
"""Of clients, so that the wrong keys of one test are not those of another."""
CHAT = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Once"}]}


class Deployment(NamedTuple):
    webs: tuple[Web, Web]
    worker: Worker
    keys: Keyring
    key: str
    """That may do everything but manage."""
    secrets: list[str]
    """All that was offered to the servers and must be in no log."""

    @property
    def web(self) -> Web:
        return self.webs[0]

    def make(self, **fields: Any) -> str:
        """A key that works by now at both servers."""
        key = self.keys.make(**fields)
        self.secrets.append(key)
        for web in self.webs:
            wait_until(lambda web=web: ask(web, "/health", key).status_code in (200, 403), "the key works")  # type: ignore[misc]
        return key


@pytest.fixture(scope="module")
def deployment(redis: Redis, django_db_blocker: Any) -> Iterator[Deployment]:
    path = processes.scratch() / "keys.toml"
    path.write_text(CATALOG)
    hold = processes.new_hold().env
    env = processes.FAKE | {"INFERENCE_PIPELINES": str(path), "INFERENCE_LAYER_PREFIX": "keys"} | hold
    env |= {"INFERENCE_ACCESS": "keys", "DJANGO_LOG_LEVEL": "DEBUG", "INFERENCE_CORS_ORIGINS": ORIGIN}
    database = processes.new_database()
    with (
        processes.worker(redis, env, wait=False) as worker,
        processes.web(redis, env, database=database, wait_for="/health/live", options=PROXY) as one,
        processes.web(redis, env, database=database, wait_for="/health/live", options=[*PROXY, "-v", "3"]) as two,
    ):
        keys = Keyring(database, django_db_blocker)
        made = Deployment((one, two), worker, keys, keys.make(), [])
        for web in made.webs:
            wait_until(lambda web=web: ready(web, made.key), "both pipelines are served")  # type: ignore[misc]
        yield made
        for process in (one, two, worker):
            log = process.log()
            assert "Traceback" not in log
            assert "inf_" not in log
            assert not [secret for secret in (made.key, *made.secrets) if secret[12:] in log]
        rows = json.dumps(one.rows(), default=str)
        assert not [secret for secret in (made.key, *made.secrets) if secret[12:] in rows]


def ready(web: Web, key: str) -> bool:
    reply = ask(web, "/health/ready", key)
    states = reply.json().get("pipelines", {}) if reply.status_code in (200, 503) else {}
    return [state["status"] for state in states.values()] == ["ready", "ready"]


def bearer(key: str = "") -> dict[str, str]:
    """Headers of another client each time."""
    return {"x-forwarded-for": next(ADDRESSES)} | ({"authorization": f"Bearer {key}"} if key else {})


def ask(web: Web, path: str, key: str = "", method: str = "GET", **options: Any) -> httpx.Response:
    with client(web, headers=bearer(key)) as http:
        return http.request(method, path, **options)


def filled(path: str) -> str:
    return path.format_map(NAMES)


def everything() -> Iterator[tuple[str, str]]:
    """Each method and path of every dialect, of monitoring and pages; also below a pipeline."""
    for _, endpoint in registry.endpoints():
        yield endpoint.method, endpoint.path
        yield endpoint.method, f"/pipelines/words{endpoint.path}"
    for resource in registry.resources():
        for method in resource.methods:
            yield method, resource.path
            yield method, f"/pipelines/words{resource.path}"
    for path in (*MONITORING, *CLOSED_PAGES):
        yield "GET", path
    for path in ("", "/health", "/health/live", "/health/ready", "/info", "/docs"):
        yield "GET", f"/pipelines/words{path}"
    yield "GET", "/pipelines/nobody/info"
    yield "POST", "/pipelines/nobody"


EVERYTHING = sorted(set(everything()))


def test_without_a_key_everything_but_health_is_refused_in_the_form_of_its_dialect(deployment: Deployment) -> None:
    unknown = make().key
    deployment.secrets.append(unknown)
    with client(deployment.web) as http:
        for method, path in EVERYTHING:
            reply = http.request(method, filled(path), content=b"{}" if method == "POST" else None)
            if path in PROBES:
                assert reply.status_code == 200, path
                assert not {"pipelines", "reason", "warning"} & reply.json().keys()
                continue
            assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer"), (method, path)
            dialect = registry.of_path(path.removeprefix("/pipelines/words") or "/")
            message = NO_KEY
            if method == "GET" and path in CLOSED_PAGES:
                message += " Staff may log in at /admin/ and read this page then."
            context = RequestContext(transport="http", id=reply.headers["x-request-id"])
            written = dialect.error(context, Unauthorized(message))
            assert reply.content == written.body, (method, path)
            assert "words" not in reply.text, "no names of pipelines"
    reply = ask(deployment.web, "/v1/models", unknown)
    assert reply.json()["error"] == {
        "message": NOT_A_KEY,
        "type": "authentication_error",
        "param": None,
        "code": "invalid_api_key",
    }


def test_with_a_key_nothing_is_refused_for_it(deployment: Deployment) -> None:
    with client(deployment.web, headers=bearer(deployment.key)) as http:
        for method, path in EVERYTHING:
            reply = http.request(method, filled(path), content=b"{}" if method == "POST" else None)
            assert reply.status_code != 401, (method, path)
            assert (reply.status_code == 403) == (path == "/metrics"), (method, path)


def test_paths_that_are_not_there_and_preflights_need_no_key(deployment: Deployment) -> None:
    with client(deployment.web) as http:
        assert http.get("/nothing").status_code == 404
        assert http.get("/admin/login/").status_code == 200
        for _, path in EVERYTHING:
            names_pipeline = "/pipelines/" in path or "{pipeline}" in path
            status = 401 if names_pipeline else 404 if path == "/docs" else 204
            assert http.options(filled(path)).status_code == status, path
        for name in ("words", "nobody"):
            assert http.get(f"/pipelines/{name}/nothing").status_code == 401
    with client(deployment.web, headers=bearer(deployment.key)) as http:
        options = http.request("OPTIONS", "/pipelines/words", content=TEXT)
        assert (options.status_code, options.headers["allow"], options.content) == (204, "GET, HEAD, POST", b"")


@pytest.mark.parametrize(
    "headers", [{"authorization": "Bearer KEY"}, {"x-api-key": "KEY"}, {"Authorization": "bearer KEY"}]
)
def test_both_headers_have_a_key(deployment: Deployment, headers: dict[str, str]) -> None:
    given = {name: value.replace("KEY", deployment.key) for name, value in headers.items()}
    with client(deployment.web) as http:
        reply = http.post("/pipelines/words", content=TEXT, headers=given)
        assert reply.status_code == 200
        twice = http.post(
            "/pipelines/words", content=TEXT, headers=given | {"x-api-key": make().key, **bearer(deployment.key)}
        )
        assert twice.status_code == 401
        in_url = http.post("/pipelines/words?api_key=1&key=2", content=TEXT)
        assert in_url.status_code == 401


def test_a_large_body_of_nobody_is_not_read(deployment: Deployment) -> None:
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    head += "Content-Length: 500000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", deployment.web.port), CLIENT_S) as connection:
        connection.sendall(head.encode())
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"invalid_api_key" in answer


def test_many_wrong_keys_have_to_wait_and_right_ones_do_not(deployment: Deployment) -> None:
    web = deployment.webs[1]
    with client(web) as http:
        tried = [make().key for _ in range(2 * MOST_WRONG)]
        deployment.secrets.extend(tried)
        address = {"x-forwarded-for": next(ADDRESSES)}
        replies = [http.post("/pipelines/words", content=TEXT, headers=bearer(key) | address) for key in tried]
        assert [reply.status_code for reply in replies] == MOST_WRONG * [401] + MOST_WRONG * [429]
        assert 1 <= int(replies[-1].headers["retry-after"]) <= 60
        for key, status in ((make().key, 401), (deployment.key, 200)):
            assert http.post("/pipelines/words", content=TEXT, headers=bearer(key)).status_code == status
        right = http.post("/pipelines/words", content=TEXT, headers=bearer(deployment.key) | address)
        assert right.status_code == 200


# What a key is for


def test_a_key_for_some_pipelines_sees_no_others(deployment: Deployment) -> None:
    key = deployment.make(pipelines=["words"])
    with client(deployment.web, headers=bearer(key)) as http:
        assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["words"]
        assert [model["name"] for model in http.get("/v2/repository/index").json()] == ["words"]
        assert http.get("/info").json()["default"] == "words"
        assert http.get("/health/ready").json() == {"status": "ready"}
        assert "chat" not in http.get("/openapi.json").json()["paths"]["/v1/models/{model}"]["get"]["summary"]
        assert http.post("/", content=TEXT).headers["x-pipeline"] == "words", "it is the default for this key"
        for path in ("/pipelines/chat", "/pipelines/chat/v1/models", "/pipelines/chat/info", "/v2/models/chat"):
            reply, unknown = (http.get(each) for each in (path, path.replace("chat", "none")))
            assert reply.status_code == unknown.status_code == 404, path
            assert reply.text == unknown.text.replace("none", "chat"), path
        chat = http.post("/v1/chat/completions", json=CHAT)
        assert (chat.status_code, chat.json()["error"]["code"]) == (404, "model_not_found")
        assert chat.json()["error"]["message"] == "There is no model 'chat' here; known are words."
        assert http.post("/embed", json={"inputs": "a", "model": "chat"}).status_code == 404
    with connect(deployment.web.socket_url, additional_headers=bearer(key)) as opened:
        opened.send(json.dumps({"type": "infer", "id": "a", "pipeline": "chat", "inputs": "a"}))
        assert json.loads(opened.recv())["code"] == "not_found"
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{deployment.web.port}/pipelines/chat/ws/", additional_headers=bearer(key))


BELOW: tuple[str, ...] = (
    "",
    "/",
    "/nothing",
    "/metrics",
    "/info",
    "/docs",
    "/ws/",
    "/health/live",
    "/v1/models",
    "/v1/chat/completions",
)
BELOW += ("/embed", "/v2", "/v2/models/words/infer", "/v2/models/chat", "/v2/models/other/ready")
ASKED: tuple[tuple[str, dict[str, str]], ...] = (("GET", {}), ("POST", {}), ("HEAD", {}), ("OPTIONS", {}))
ASKED += (("OPTIONS", PREFLIGHT), ("DELETE", {"origin": ORIGIN}))


@pytest.mark.parametrize("pipelines", [None, ["words"]])
@pytest.mark.parametrize("routes", [[], ["openai"]])
def test_whether_there_is_another_pipeline_cannot_be_told(deployment: Deployment, pipelines: Any, routes: Any) -> None:
    """By those without a key, and by a key that is not for it: answers are those for a name that there is not."""
    key = deployment.make(pipelines=pipelines, routes=routes) if pipelines else ""
    paths = [*(f"/pipelines/chat{below}" for below in BELOW), "/v2/models/chat", "/v2/models/chat/infer"]
    with client(deployment.web) as http:
        for path in paths:
            for method, headers in ASKED:

                def answer(name: str, path: str = path, method: str = method, headers: Any = headers) -> Any:
                    reply = http.request(method, path.replace("chat", name), headers=headers | bearer(key))
                    told = {name: value for name, value in reply.headers.items() if name not in OWN}
                    return reply.status_code, told, re.sub("[0-9a-f]{32}", "", reply.text.replace(name, "…"))

                assert answer("chat") == answer("none"), (method, path)


@pytest.mark.parametrize(
    "path", ["/pipelines/chat", "/pipelines/none", "/v2/models/chat/infer", "/v2/models/none/infer"]
)
def test_a_large_body_of_nobody_is_not_read_for_any_name(deployment: Deployment, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", deployment.web.port), CLIENT_S) as connection:
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_a_key_for_some_dialects_speaks_no_others(deployment: Deployment) -> None:
    key = deployment.make(routes=["openai"])
    with client(deployment.web, headers=bearer(key)) as http:
        assert http.get("/v1/models").status_code == 200
        reply = http.post("/pipelines/words", content=TEXT)
        assert (reply.status_code, reply.json()["error_type"]) == (403, "forbidden")
        assert reply.json()["error"] == "This key is not for the dialect native; it may use: openai."
        assert http.get("/v2").status_code == 403
    with pytest.raises(InvalidStatus, match="403"):
        connect(deployment.web.socket_url, additional_headers=bearer(key))
    both, bodies = bearer(deployment.make(routes=["openai"], pipelines=["words"])), []
    for name in ("chat", "none"):
        with pytest.raises(InvalidStatus, match="403") as refused:
            connect(f"ws://127.0.0.1:{deployment.web.port}/pipelines/{name}/ws/", additional_headers=both)
        bodies.append(refused.value.response.body)
    assert bodies[0] == bodies[1]


def test_a_key_for_pipelines_that_are_gone_is_told_so(deployment: Deployment) -> None:
    key = deployment.make(pipelines=["gone"])
    reply = ask(deployment.web, "/v1/models", key)
    assert reply.status_code == 403
    assert reply.json()["error"]["message"] == "This key may use none of the pipelines that are served here."


def test_metrics_are_for_keys_that_manage(deployment: Deployment) -> None:
    assert ask(deployment.web, "/metrics", deployment.make(scope="manage")).status_code == 200
    reply = ask(deployment.web, "/metrics", deployment.key)
    assert (reply.status_code, reply.json()["error_type"]) == (403, "forbidden")


def test_pages_are_also_for_staff_that_is_logged_in_and_inference_is_not(deployment: Deployment) -> None:
    deployment.keys.make_staff("ada", "a long password")
    with client(deployment.web) as http:
        http.get("/admin/login/")
        form = {"username": "ada", "password": "a long password", "csrfmiddlewaretoken": http.cookies["csrftoken"]}
        http.post("/admin/login/", data=form, headers={"referer": deployment.web.url})
        for path in (*CLOSED_PAGES, "/playground", "/playground/words"):
            page = http.get(path)
            assert (page.status_code, page.headers["cache-control"]) == (200, "private, no-store")
        assert http.post("/", content=TEXT).status_code == 401
        assert http.get("/v1/models").status_code == 401
        del http.cookies["sessionid"]
        http.cookies.set("sessionid", "another", domain="127.0.0.1")
        assert {http.get(path).status_code for path in CLOSED_PAGES} == {401}


def test_the_playground_asks_strangers_for_a_key_and_tells_nothing(deployment: Deployment) -> None:
    pages = [ask(deployment.web, path) for path in ("/playground", "/playground/words", "/playground/nobody")]
    assert [page.status_code for page in pages] == [200, 200, 200]
    assert pages[0].text == pages[1].text == pages[2].text
    assert "words" not in pages[0].text
    assert "fill-mask" not in pages[0].text
    assert ask(deployment.web, "/playground/words", make().key).status_code == 401
    assert "words" in ask(deployment.web, "/playground/words", deployment.key).text


# Sockets


def test_a_browsers_socket_has_its_key_in_a_subprotocol(deployment: Deployment) -> None:
    """It can give no headers but ``Origin``, and fails if no subprotocol is selected that it has offered."""
    offered: Any = ["inference.v1", f"inference.key.{deployment.key}"]
    origin: Any = "http://localhost"
    with connect(deployment.web.socket_url, subprotocols=offered, origin=origin) as opened:
        assert opened.subprotocol == "inference.v1"
        opened.send(json.dumps({"type": "ping", "id": "a"}))
        assert json.loads(opened.recv()) == {"type": "pong", "id": "a"}


@pytest.mark.parametrize("path", ["/ws/", "/v1/responses", "/pipelines/words/ws/", "/pipelines/none/ws/"])
@pytest.mark.parametrize("offered", [[], ["inference.v1", "inference.key.wrong"]])
def test_a_socket_without_a_key_is_not_opened(deployment: Deployment, path: str, offered: Any) -> None:
    url = f"ws://127.0.0.1:{deployment.web.port}{path}"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, subprotocols=offered or None, additional_headers=bearer())
    reply = refused.value.response
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert b"key" in (reply.body or b"")


@pytest.mark.parametrize(
    ("offered", "status"),
    [
        ("inference.key.KEY, inference.key.KEY", 400),  # the log, which is looked at in the end, does not name it
        ("inference.v1%2Cinference.key.KEY", 101),
        ("%E2%82%AC, inference.key.KEY", 101),
        ("\xff, inference.key.KEY", 400),
        ("%E2%82%AC", 401),
    ],
)
def test_odd_lists_of_subprotocols_are_answered(deployment: Deployment, offered: str, status: int) -> None:
    lines = [
        "GET /ws/ HTTP/1.1",
        "Host: localhost",
        f"X-Forwarded-For: {next(ADDRESSES)}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {offered.replace('KEY', deployment.key)}",
    ]
    with socket.create_connection(("127.0.0.1", deployment.webs[1].port), CLIENT_S) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        assert connection.recv(12) == b"HTTP/1.1 %d" % status


# Revocation


async def frames_until_closed(opened: ClientConnection) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    with suppress(ConnectionClosed):
        while True:
            frames.append(json.loads(await opened.recv()))
    return frames


@pytest.mark.parametrize("ending", ["revoked", "expired"])
async def test_when_a_key_ends_all_that_is_under_way_with_it_ends(deployment: Deployment, ending: str) -> None:
    """At both servers: a stream that has begun, requests that wait, a socket. Those of another key go on."""
    key, worker, (one, two) = await asyncio.to_thread(deployment.make), deployment.worker, deployment.webs
    stream = {"inputs": "Once", "stream": True}
    replies: dict[str, httpx.Response] = {}
    begun = asyncio.Event()

    async def streamed(name: str, web: Web, path: str, body: Any, asking: str) -> None:
        async with (
            httpx.AsyncClient(base_url=web.url, timeout=CLIENT_S, trust_env=False, headers=bearer(asking)) as http,
            http.stream("POST", path, json=body) as reply,
        ):
            if name == "begun":
                begun.set()
            await reply.aread()
            replies[name] = reply

    async with (
        aconnect(two.socket_url, additional_headers=bearer(key), proxy=None) as opened,
        asyncio.TaskGroup() as group,
    ):
        with worker.hold(after=1):
            ours = [group.create_task(streamed("begun", one, "/pipelines/chat", stream, key))]
            await begun.wait()
            another = group.create_task(streamed("other", one, "/pipelines/chat", stream, deployment.key))
            ours.append(group.create_task(streamed("openai", two, "/v1/chat/completions", CHAT, key)))
            ours.append(group.create_task(streamed("plain", one, "/pipelines/words", {"inputs": TEXT}, key)))
            await opened.send(json.dumps({"type": "infer", "id": "a", "pipeline": "chat", **stream}))
            assert json.loads(await opened.recv())["type"] == "accepted"
            change = {"revoked_at": timezone.now()} if ending == "revoked" else {"expires_at": timezone.now()}
            await asyncio.to_thread(deployment.keys.change, key, **change)
            frames = await frames_until_closed(opened)
            await asyncio.gather(*ours)
            assert not another.done()
        await another
    assert (opened.close_code, opened.close_reason) == (1008, ENDED)
    (frame,) = frames
    assert (frame["type"], frame["id"], frame["code"], frame["message"]) == ("error", "a", "unauthorized", ENDED)
    assert replies["begun"].status_code == 200
    event = json.loads(replies["begun"].text.strip().splitlines()[-1].removeprefix("data:"))
    assert (event["error"], event["error_type"]) == (ENDED, "unauthorized")
    for name in ("openai", "plain"):
        assert replies[name].status_code == 401
    assert replies["other"].text.count("data:") == 3
    for web in deployment.webs:
        assert ask(web, "/v1/models", key).status_code == 401


def test_when_a_key_was_used_is_in_the_database(deployment: Deployment) -> None:
    wait_until(lambda: deployment.keys.row(deployment.key).last_used_at is not None, "it is written")
