"""The Open Inference Protocol below ``/v2``: in one process, and at a web server and a host."""

import gzip
import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import conftest
from tests.end_to_end.test_pipelines import serving, table, written
from tests.fakes import BROKEN
from tests.processes import Redis, Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TASKS = {
    "words": "fill-mask",
    "meaning": "feature-extraction",
    "chat": "text-generation",
    "pairs": "question-answering",
    "torn": "fill-mask",
}
"""By pipeline; the backend serves each task as a version of its own."""
TEXT = "test [MASK]"
WORDS = "/v2/models/words"


@pytest.fixture(scope="module")
def catalog() -> dict[str, str]:
    tables = (table(name, task, BROKEN if name == "torn" else "acme/fake") for name, task in TASKS.items())
    return written("open_inference.toml", "\n".join(tables))


@pytest.fixture(scope="module")
def in_one(catalog: dict[str, str]) -> Iterator[Web]:
    with serving(None, catalog) as server:
        yield server


@pytest.fixture(scope="module")
def distributed(redis: Redis, catalog: dict[str, str]) -> Iterator[Web]:
    with serving(redis, catalog | {"INFERENCE_LAYER_PREFIX": "open_inference"}, tuple(TASKS)) as server:
        yield server


@pytest.fixture(params=["in_one", "distributed"])
def http(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with conftest.client(request.getfixturevalue(request.param)) as opened:
        yield opened


def tensor(name: str, *data: str) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": list(data)}


def infer(http: httpx.Client, pipeline: str, *tensors: dict[str, Any], **fields: Any) -> Any:
    reply = http.post(f"/v2/models/{pipeline}/infer", json={"inputs": list(tensors)} | fields)
    assert reply.status_code == 200, reply.text
    (output,) = reply.json()["outputs"]
    return output


def error_of(reply: httpx.Response) -> tuple[int, str]:
    assert reply.headers["content-type"] == "application/json"
    assert reply.json().keys() == {"error"}
    return reply.status_code, reply.json()["error"]


def test_the_server_and_its_models_are_described(http: httpx.Client):
    server = http.get("/v2").json()
    assert server["name"] == "django-inference-server"
    assert "binary_tensor_data" in server["extensions"]
    assert http.get("/v2/health/live").json() == {"live": True}
    ready = http.get("/v2/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"live": True, "ready": True})
    model = http.get("/v2/models/acme/pairs").json()
    assert (model["name"], model["versions"]) == ("pairs", [TASKS["pairs"]])
    assert [each["name"] for each in model["inputs"]] == ["question", "context"]
    assert http.get("/v2/models/meaning").json()["outputs"] == [
        {"name": "output", "datatype": "FP32", "shape": [-1, -1]}
    ]


@pytest.mark.parametrize("path", ["/v2/models/{}/ready", "/v2/models/acme/{}/versions/1/ready"])
def test_a_model_that_cannot_be_loaded_is_not_ready(http: httpx.Client, path: str):
    assert http.get(path.format("words")).json() == {"name": "words", "ready": True}
    torn = http.get(path.format("torn"))
    assert torn.status_code == 503
    assert torn.json()["ready"] is False
    below = http.get("/pipelines/torn/v2/health/ready")
    assert (below.status_code, below.json()["live"], below.json()["ready"]) == (503, True, False)
    assert error_of(http.post("/v2/models/torn/infer", json={"inputs": [tensor("args", TEXT)]}))[0] == 503


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80"])
def test_probes_may_ask_by_address(http: httpx.Client, host: str):
    assert http.get("/v2/health/ready", headers={"host": host}).status_code == 200
    assert error_of(http.get("/v2/health/ready", headers={"host": "example.org"}))[0] == 400


def test_tensors_in_json(http: httpx.Client):
    output = infer(http, "words", tensor("args", TEXT, "é [MASK]"), parameters={"top_k": 1})
    assert (output["shape"], output["datatype"]) == ([2, 1], "BYTES")
    assert json.loads(output["data"][1])[0]["sequence"] == "é word0"
    assert infer(http, "meaning", tensor("text", "a", "b"))["shape"] == [2, 3]
    answer = json.loads(infer(http, "pairs", tensor("question", "who"), tensor("context", "me"))["data"][0])
    assert answer["answer"] == "me"
    [text] = infer(http, "chat", tensor("text_inputs", "Once"), parameters={"max_new_tokens": 1})["data"]
    assert json.loads(text) == {"generated_text": "Once and"}


@pytest.mark.parametrize("path", ["/v2/models/words/infer", "/pipelines/words/v2/models/words/versions/1/infer"])
def test_tensors_in_bytes(http: httpx.Client, path: str):
    data = struct.pack("<I", len(TEXT)) + TEXT.encode()
    sent = {"name": "args", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}
    text = json.dumps({"id": "7", "inputs": [sent], "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(text)), "content-encoding": "gzip"}
    reply = http.post(path, content=gzip.compress(text + data), headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-pipeline"] == "words"
    size = int(reply.headers["inference-header-content-length"])
    answer, more = json.loads(reply.content[:size]), reply.content[size:]
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "words", "fill-mask")
    assert answer["outputs"][0]["parameters"]["binary_data_size"] == len(more) == 4 + struct.unpack_from("<I", more)[0]
    assert json.loads(more[4:])[0]["sequence"] == "test word0"


def test_texts_are_generated(http: httpx.Client):
    whole = http.post("/v2/models/chat/generate", json={"text_input": "Once", "id": "7"}).json()
    facts = {"model_name": "chat", "model_version": "text-generation", "id": "7"}
    assert whole == facts | {"text_output": " and so on."}
    streamed = http.post("/v2/models/chat/generate_stream", json={"text_input": "Once", "id": "7"})
    assert streamed.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = [json.loads(event.removeprefix("data: ")) for event in streamed.text.split("\n\n") if event]
    assert events == [facts | {"text_output": text} for text in (" and", " so", " on.")]
    tensors = http.post("/v2/models/chat/infer_stream", json={"inputs": [tensor("args", "Once")]})
    assert tensors.text.count("data: {") == 3


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", f"{WORDS}/infer", {}, 400, "There is no 'inputs'"),
        ("POST", f"{WORDS}/infer", {"inputs": [tensor("args", "no mask")]}, 400, "has no [MASK]"),
        ("POST", f"{WORDS}/versions/2/infer", {"inputs": [tensor("args", TEXT)]}, 404, "no version '2' of words"),
        ("POST", f"{WORDS}/generate_stream", {"text_input": TEXT}, 400, "words serves fill-mask"),
        ("GET", f"{WORDS}/versions/2", None, 404, "no version '2' of words"),
        ("GET", f"{WORDS}/config", None, 404, "no configuration"),
        ("GET", "/v2/models/none", None, 404, "There is no pipeline 'none' here; known are words,"),
        ("GET", f"{WORDS}/infer", None, 405, "use POST"),
        ("PUT", "/v2/repository/index", None, 405, "use GET, HEAD, POST"),
        ("POST", "/v2/repository/models/words/unload", None, 400, "loaded and unloaded by the operator"),
        ("GET", "/v2/repository", None, 404, "There is nothing at this path"),
    ],
)
def test_errors_are_those_of_the_protocol(
    http: httpx.Client, method: str, path: str, body: Any, status: int, says: str
):
    found, sentence = error_of(http.request(method, path, json=body))
    assert found == status
    assert says in sentence


def test_the_index_of_one_pipeline(http: httpx.Client):
    [entry] = http.post("/pipelines/words/v2/repository/index").json()
    assert entry == {"name": "words", "version": "fill-mask", "state": "READY", "reason": ""}
