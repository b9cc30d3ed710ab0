"""Several named pipelines in one deployment: in one process, and at two hosts that have two of them each."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests import processes
from tests.conftest import CLIENT_S, client
from tests.fakes import BROKEN, REASON
from tests.processes import Redis, Web, Worker, wait_until

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TASKS = {
    "topics": "text-classification",
    "words": "fill-mask",
    "meaning": "feature-extraction",
    "chat": "text-generation",
}
"""By pipeline, in the order of the catalog; the backend serves each task as a version of its own."""
HOSTS = (("topics", "acme/words"), ("meaning", "chat"))
TEXT = "test [MASK]"
KNOWN = "known are topics, words, meaning, chat."
FAILING_DEADLINE_S = 5.0


def table(name: str, task: str, model: str) -> str:
    return f'[{name}]\ntask = "{task}"\nmodel = "{model}"\naliases = ["acme/{name}"]\nbackend = "tests.fakes"\n'


@pytest.fixture(scope="module")
def catalog() -> dict[str, str]:
    """The setting with a file of four pipelines."""
    return written("four.toml", "\n".join(table(name, task, f"acme/{name}") for name, task in TASKS.items()))


def written(name: str, text: str) -> dict[str, str]:
    path: Path = processes.scratch() / name
    path.write_text(text)
    return {"INFERENCE_PIPELINES": str(path)}


@contextmanager
def serving(redis: Redis | None, env: dict[str, str], *hosts: tuple[str, ...]) -> Iterator[Web]:
    """A web server that knows all of its hosts, which are processes with these pipelines."""
    command = [sys.executable, "manage.py", "inference_worker"]
    with ExitStack() as stack:
        workers: list[Worker] = []
        for names in hosts:
            chosen = [argument for name in names for argument in ("--pipeline", name)]
            workers.append(stack.enter_context(processes.worker(redis, env, wait=False, command=command + chosen)))  # type: ignore[arg-type]
        server = stack.enter_context(processes.web(redis, env))
        with client(server) as http:
            wait_until(lambda: "loading" not in states(http), "all pipelines are loaded, or cannot be")
        yield server
        for process in (server, *workers):
            assert "Traceback" not in process.log()


def states(http: httpx.Client) -> set[str]:
    """Of all pipelines; one that no host has told of counts as loading."""
    found = {each["status"] for each in http.get("/health/ready").json()["pipelines"].values()}
    return {"loading" if state == "unavailable" else state for state in found}


@pytest.fixture(scope="module")
def four_in_one(catalog: dict[str, str]) -> Iterator[Web]:
    with serving(None, catalog) as server:
        yield server


@pytest.fixture(scope="module")
def two_and_two(redis: Redis, catalog: dict[str, str]) -> Iterator[Web]:
    with serving(redis, catalog | {"INFERENCE_LAYER_PREFIX": "four"}, *HOSTS) as server:
        yield server


@pytest.fixture(params=["four_in_one", "two_and_two"])
def server(request: pytest.FixtureRequest) -> Web:
    shared: Web = request.getfixturevalue(request.param)
    return shared


def check_served(headers: httpx.Headers, name: str) -> None:
    assert (headers["x-pipeline"], headers["x-model-version"]) == (name, TASKS[name])


def is_of(name: str, answer: Any) -> bool:
    """Whether the form of the answer is that of the pipeline's task."""
    first = answer[0]
    forms = {
        "topics": lambda: first.keys() == {"label", "score"},
        "words": lambda: first["token_str"] == "word0",
        "meaning": lambda: isinstance(first[0][0], float),
        "chat": lambda: first.keys() == {"generated_text"},
    }
    return bool(forms[name]())


# Paths


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("path", ["/pipelines/{}", "/pipelines/{}/", "/pipelines/acme/{}", "/pipelines/acme/{}/"])
def test_a_pipeline_answers_at_its_name_and_at_its_alias(http: httpx.Client, path: str, name: str) -> None:
    reply = http.post(path.format(name), content=TEXT)
    assert reply.status_code == 200
    assert is_of(name, reply.json())
    check_served(reply.headers, name)


def test_the_root_is_the_first_of_the_file(http: httpx.Client) -> None:
    reply = http.post("/", json={"inputs": [TEXT, TEXT]})
    assert [is_of("topics", answer) for answer in reply.json()] == [True, True]
    check_served(reply.headers, "topics")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/pipelines/nobody", "nobody"),
        ("/pipelines/nobody/", "nobody/"),
        ("/pipelines/acme/nobody", "acme/nobody"),
        ("/pipelines/acme", "acme"),
        ("/pipelines/Words", "Words"),
        ("/pipelines/", ""),
    ],
)
def test_a_name_that_there_is_not_is_answered_with_those_that_there_are(
    server: Web, http: httpx.Client, path: str, shown: str
) -> None:
    reply = http.post(path, content=TEXT)
    assert (reply.status_code, reply.json()["error_type"]) == (404, "not_found")
    assert reply.json()["error"] == f"There is no pipeline {shown!r} here; {KNOWN}"
    assert "x-pipeline" not in reply.headers
    row = server.row(reply.headers["x-request-id"])
    assert (row["status"], row["code"], row["pipeline"], row["version"]) == ("refused", "not_found", "", "")


@pytest.mark.parametrize("path", ["/pipelines/words/nothing", "/pipelines/words/metrics", "/pipelines/words/admin/"])
def test_below_a_pipeline_is_nothing_else(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 404
    assert http.post(path, content=TEXT).status_code == 404


def test_errors_below_a_pipeline_are_those_of_the_root(http: httpx.Client) -> None:
    for content, status in ((b"", 400), (b'{"inputs": "no mask"}', 422), (b'{"inputs": "a", "pipeline": "chat"}', 422)):
        at_name, at_root = (http.post(path, content=content) for path in ("/pipelines/words", "/pipelines/acme/words/"))
        assert (at_name.status_code, at_name.json()) == (at_root.status_code, at_root.json())
        assert at_name.status_code == status
    refused = http.put("/pipelines/words", content=TEXT)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST")


def test_each_pipeline_has_a_page(http: httpx.Client) -> None:
    page = http.get("/pipelines/acme/words")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "/pipelines/words" in page.text
    assert http.get("/").status_code == 200


# Sockets


@contextmanager
def socket(server: Web, below: str = "") -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{server.port}{below}/ws/", proxy=None) as connection:
        yield connection


def answered(connection: ClientConnection, **frame: Any) -> list[dict[str, Any]]:
    """All frames of a request."""
    connection.send(json.dumps({"type": "infer", "id": "a", "inputs": TEXT, **frame}))
    frames = [json.loads(connection.recv(CLIENT_S))]
    while frames[-1]["type"] not in ("result", "error"):
        frames.append(json.loads(connection.recv(CLIENT_S)))
    return frames


def check_answered(frames: list[dict[str, Any]], name: str) -> None:
    accepted, *_, result = frames
    assert accepted.keys() == {"type", "id", "request_id", "pipeline", "model_version"}
    assert (accepted["type"], accepted["pipeline"], accepted["model_version"]) == ("accepted", name, TASKS[name])
    assert is_of(name, result["output"])


def test_each_request_of_a_socket_names_its_pipeline(server: Web) -> None:
    with socket(server) as connection:
        for name in TASKS:
            check_answered(answered(connection, pipeline=name), name)
            check_answered(answered(connection, pipeline=f"acme/{name}"), name)
        check_answered(answered(connection), "topics")
        check_answered(answered(connection, pipeline=None), "topics")


@pytest.mark.parametrize("path", ["/pipelines/words", "/pipelines/acme/words"])
def test_a_socket_of_a_pipeline_is_for_that_pipeline(server: Web, path: str) -> None:
    with socket(server, path) as connection:
        check_answered(answered(connection), "words")
        check_answered(answered(connection, pipeline="words"), "words")
        check_answered(answered(connection, pipeline="acme/words"), "words")
        (error,) = answered(connection, pipeline="chat")
        check_answered(answered(connection), "words")
    assert (error["type"], error["code"]) == ("error", "validation")
    assert error["message"] == "The path is that of pipeline words, and the request names chat; name one."
    assert server.row(error["request_id"])["pipeline"] == "words"


@pytest.mark.parametrize(
    ("pipeline", "code", "message"),
    [
        ("nobody", "not_found", f"There is no pipeline 'nobody' here; {KNOWN}"),
        ("", "not_found", f"There is no pipeline '' here; {KNOWN}"),
        (5, "validation", "'pipeline' is a number; it must be the name of a pipeline."),
        (["words"], "validation", "'pipeline' is a list; it must be the name of a pipeline."),
    ],
)
def test_a_frame_that_names_no_pipeline_gets_an_error(server: Web, pipeline: Any, code: str, message: str) -> None:
    with socket(server) as connection:
        (error,) = answered(connection, pipeline=pipeline)
        check_answered(answered(connection), "topics")
    assert (error["type"], error["code"], error["message"]) == ("error", code, message)


@pytest.mark.parametrize("path", ["/pipelines/nobody", "/pipelines/words/v1", "/pipelines"])
def test_there_is_no_other_socket(server: Web, path: str) -> None:
    with pytest.raises(InvalidStatus), socket(server, path):
        pass


# What is served


@pytest.mark.parametrize("name", ["words", "acme/words"])
def test_a_pipeline_says_whether_it_is_ready(http: httpx.Client, name: str) -> None:
    for path in ("health", "health/ready"):
        reply = http.get(f"/pipelines/{name}/{path}")
        assert (reply.status_code, reply.json()) == (200, {"status": "ready"})
    assert http.get(f"/pipelines/{name}/health/live").json() == {"status": "live"}


@pytest.mark.parametrize("path", ["health/ready", "health/live", "info"])
def test_a_pipeline_that_there_is_not_says_nothing(http: httpx.Client, path: str) -> None:
    reply = http.get(f"/pipelines/nobody/{path}")
    assert reply.status_code == 404
    assert KNOWN in reply.json()["error"]


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_readiness_has_the_state_of_each(http: httpx.Client, path: str) -> None:
    reply = http.get(path)
    assert reply.status_code == 200
    assert reply.json() == {"status": "ready", "pipelines": {name: {"status": "ready"} for name in TASKS}}
    assert list(reply.json()["pipelines"]) == list(TASKS)


def test_the_list_of_what_is_served(request: pytest.FixtureRequest, http: httpx.Client) -> None:
    info = http.get("/info").json()
    assert info["default"] == "topics"
    assert [each["name"] for each in info["pipelines"]] == list(TASKS)
    for each in info["pipelines"]:
        name = each["name"]
        assert http.get(f"/pipelines/{name}/info").json().keys() == each.keys()
        assert (each["aliases"], each["state"], each["reason"]) == ([f"acme/{name}"], "ready", "")
        assert (each["task"], each["version"], each["model"], each["workers"]) == (TASKS[name], TASKS[name], "fake", 1)
    hosts = {each["name"]: tuple(each["hosts"]) for each in info["pipelines"]}
    assert hosts["topics"] == hosts["words"]
    assert hosts["meaning"] == hosts["chat"]
    one_process = request.node.callspec.params["server"] == "four_in_one"
    assert len(set(hosts.values())) == (1 if one_process else 2)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_index_of_models(http: httpx.Client, method: str) -> None:
    """As clients of the Open Inference Protocol ask for it."""
    reply = http.request(method, "/v2/repository/index")
    assert reply.status_code == 200
    assert reply.json() == [
        {"name": name, "version": task, "state": "READY", "reason": ""} for name, task in TASKS.items()
    ]


# Streams, metrics, the log


def test_a_stream_of_one_pipeline(http: httpx.Client) -> None:
    body = {"inputs": TEXT, "stream": True, "parameters": {"max_new_tokens": 3}}
    with http.stream("POST", "/pipelines/acme/chat", json=body) as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        check_served(reply.headers, "chat")
        events = [json.loads(line.removeprefix("data:")) for line in reply.iter_lines() if line]
    whole = http.post("/pipelines/chat", json=body | {"stream": False})
    assert "".join(event["token"]["text"] for event in events) == events[-1]["generated_text"]
    assert whole.json()[0]["generated_text"] == TEXT + events[-1]["generated_text"]
    refused = http.post("/pipelines/words", json=body)
    assert (refused.status_code, refused.json()["error_type"]) == (422, "validation")


def test_metrics_have_the_pipeline(http: httpx.Client) -> None:
    def figures() -> dict[str, list[float]]:
        families = text_string_to_metric_families(http.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        wanted = ("inference_requests_total", "inference_batch_size_count", "inference_workers_ready")
        return {
            pipeline: [
                sum(s.value for s in samples if s.name == name and s.labels.get("pipeline") == pipeline)
                for name in wanted
            ]
            for pipeline in TASKS
        }

    before = figures()
    for path in ("/pipelines/words", "/pipelines/acme/words", "/pipelines/meaning", "/"):
        assert http.post(path, content=TEXT).status_code == 200
    asked = {"topics": 1, "words": 2, "meaning": 1, "chat": 0}
    expected = {
        name: [requests + asked[name], batches + asked[name], 1] for name, (requests, batches, _) in before.items()
    }
    assert figures() == expected


def test_the_log_has_pipeline_and_version(server: Web, http: httpx.Client) -> None:
    for name in TASKS:
        reply = http.post(f"/pipelines/acme/{name}", content=TEXT)
        row = server.row(reply.headers["x-request-id"])
        assert (row["pipeline"], row["version"], row["status"]) == (name, TASKS[name], "ok")
    refused = server.row(http.post("/pipelines/words", content="no mask").headers["x-request-id"])
    assert (refused["pipeline"], refused["version"], refused["code"]) == ("words", "fill-mask", "validation")


OTHER_CODE = f"""
import json
from inference import infer_sync
from inference.errors import InferenceError

print(json.dumps([infer_sync({TEXT!r}), infer_sync({TEXT!r}, pipeline="acme/words")]))
try:
    infer_sync({TEXT!r}, pipeline="nobody")
except InferenceError as error:
    print(error.code, error.message)
"""


def test_other_code_names_the_pipeline(redis: Redis, two_and_two: Web, catalog: dict[str, str]) -> None:
    env = processes.environment(redis, processes.new_database(), catalog | {"INFERENCE_LAYER_PREFIX": "four"})
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", OTHER_CODE]
    ran = subprocess.run(command, cwd=processes.ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    answers, refused = ran.stdout.splitlines()
    for name, answer in zip(("topics", "words"), json.loads(answers), strict=True):
        assert is_of(name, answer)
    assert refused == f"not_found There is no pipeline 'nobody' here; {KNOWN}"


def test_the_command_lists_what_hosts_serve(redis: Redis, two_and_two: Web, catalog: dict[str, str]) -> None:
    """It asks the hosts; what they offer to web processes does not change by that."""
    listed = ran(redis, catalog | {"INFERENCE_LAYER_PREFIX": "four"}, "pipelines", "--json")
    assert [
        (each["name"], each["state"], each["version"], len(each["hosts"])) for each in json.loads(listed.stdout)
    ] == [(name, "ready", task, 1) for name, task in TASKS.items()]
    assert listed.stderr == ""


def test_the_command_lists_what_a_server_serves(four_in_one: Web, catalog: dict[str, str]) -> None:
    head, *rows = ran(None, catalog, "pipelines", "--url", four_in_one.url).stdout.splitlines()
    assert head.split() == ["NAME", "TASK", "MODEL", "VERSION", "STATE", "HOSTS", "QUEUE", "JOBS/S"]
    assert [row.split()[:6] for row in rows] == [
        [name, task, "fake", task, "ready", "1"] for name, task in TASKS.items()
    ]


def ran(redis: Redis | None, env: dict[str, str], *command: str) -> "subprocess.CompletedProcess[str]":
    environment = processes.environment(redis, processes.new_database(), env)
    full = [sys.executable, "manage.py", *command]
    return subprocess.run(full, cwd=processes.ROOT, env=environment, capture_output=True, text=True, check=True)


# One that cannot be loaded


@pytest.fixture(scope="module", params=["embedded", "distributed"])
def half_broken(request: pytest.FixtureRequest) -> Iterator[Web]:
    """The first of two pipelines cannot be loaded."""
    two = table("torn", "fill-mask", BROKEN) + table("fine", "fill-mask", "acme/fine")
    env = written("two.toml", two) | {"INFERENCE_LAYER_PREFIX": "two", "INFERENCE_DEADLINE_S": str(FAILING_DEADLINE_S)}
    if request.param == "embedded":
        with serving(None, env) as server:
            yield server
    else:
        with serving(request.getfixturevalue("redis"), env, ("torn", "fine")) as server:
            yield server


def test_the_others_answer(half_broken: Web) -> None:
    with client(half_broken) as http:
        assert http.post("/pipelines/fine", content=TEXT).status_code == 200
        assert http.get("/pipelines/fine/health/ready").status_code == 200


def test_one_that_cannot_be_loaded_says_why(half_broken: Web) -> None:
    with client(half_broken) as http:
        began = time.monotonic()
        replies = [http.post(path, content=TEXT) for path in ("/pipelines/torn", "/pipelines/acme/torn/", "/")]
        took_s = time.monotonic() - began
    assert took_s < FAILING_DEADLINE_S
    for reply in replies:
        assert reply.status_code == 503
        assert REASON.rstrip(".") in reply.json()["error"]
        assert int(reply.headers["retry-after"]) >= 1
        row = half_broken.row(reply.headers["x-request-id"])
        assert (row["pipeline"], row["status"], row["code"]) == ("torn", "refused", reply.json()["error_type"])
    with socket(half_broken) as connection:
        (error,) = answered(connection, pipeline="torn")
        assert REASON.rstrip(".") in error["message"]
        *_, result = answered(connection, pipeline="fine")
        assert is_of("words", result["output"])


def test_probes_and_metrics_say_which(half_broken: Web) -> None:
    with client(half_broken) as http:
        ready, of_torn = http.get("/health/ready"), http.get("/pipelines/torn/health/ready")
        info, index = http.get("/pipelines/torn/info").json(), http.get("/v2/repository/index").json()
        metrics = http.get("/metrics").text.splitlines()
    failed = {"status": "failed", "reason": REASON}
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "pipelines": {"torn": failed, "fine": {"status": "ready"}}}
    assert of_torn.status_code == 503
    assert REASON.rstrip(".") in of_torn.json()["reason"]
    assert (info["state"], info["reason"], info["task"], info["model"]) == ("failed", REASON, "fill-mask", "")
    assert [(each["name"], each["state"], each["reason"]) for each in index] == [
        ("torn", "UNAVAILABLE", REASON),
        ("fine", "READY", ""),
    ]
    for name, count in (("torn", 1), ("fine", 0)):
        assert f'inference_workers_failed{{pipeline="{name}"}} {count}.0' in metrics
        assert f'inference_workers_ready{{pipeline="{name}"}} {1 - count}.0' in metrics
