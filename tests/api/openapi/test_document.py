"""The document of a deployment with every task: it is valid, and what it says is what the server does."""

import json
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx
import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator

from inference.api.dialects import registry
from inference.api.openapi.document import document as document_of
from inference.api.openapi.monitoring import DOCS, OF_PIPELINE
from inference.api.routing import MONITORING
from inference.api.routing import OF_PIPELINE as MONITORING_OF_PIPELINE
from inference.catalog import Catalog, PipelineSpec
from inference.conf import Conf
from inference.errors import InferenceError
from inference.pages.operations import KEYED, by_tag
from inference.process import web
from inference.serving.service import Service
from inference.tasks import TASKS
from inference.testing import FakePipeline, running
from inferencesite.asgi import application
from tests.toydialect import ToyDialect

Document = dict[str, Any]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """With a fake pipeline for each task, named like it, and the default one."""
    with running(FakePipeline(), pipelines={task: FakePipeline(task) for task in TASKS}):
        process = web.current()
        assert process is not None
        yield process.service


@pytest.fixture
async def http(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as opened:
        yield opened


@pytest.fixture
async def document(http: httpx.AsyncClient) -> Document:
    reply = await http.get("/openapi.json")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    described: Document = reply.json()
    return described


class Operation(NamedTuple):
    method: str
    path: str
    fields: dict[str, Any]

    def examples(self) -> Iterator[tuple[str, str, Any]]:
        """Content type, pipeline, body."""
        for kind, body in self.fields.get("requestBody", {}).get("content", {}).items():
            for pipeline, example in body.get("examples", {}).items():
                yield kind, pipeline, example["value"]


def operations(document: Document) -> list[Operation]:
    return [
        Operation(method.upper(), path, fields)
        for path, methods in document["paths"].items()
        for method, fields in methods.items()
    ]


def filled(operation: Operation, **known: str) -> str:
    """The path, with values that its parameters may have; ``x`` where the document names none."""
    path = operation.path
    for each in operation.fields.get("parameters", ()):
        if each["in"] == "path":
            schema, name = each["schema"], each["name"]
            first, *_ = schema.get("enum", schema.get("examples", ["x"]))
            path = path.replace(f"{{{name}}}", known.get(name, first))
    return path


def check_answer(document: Document, operation: Operation, reply: httpx.Response) -> None:
    """The status is documented, and so are the content type and, of JSON, the content."""
    answer = operation.fields["responses"][str(reply.status_code)]
    if reference := answer.get("$ref"):
        answer = document["components"]["responses"][reference.rpartition("/")[2]]
    kind = reply.headers["content-type"].partition(";")[0]
    [content] = [content for pattern, content in answer["content"].items() if pattern in (kind, f"{kind[:5]}/*")]
    if kind == "application/json":
        schema = content["schema"] | {"components": document["components"]}
        Draft202012Validator(schema).validate(reply.json())


def test_it_is_valid(document: Document):
    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1.")
    names = [operation.fields["operationId"] for operation in operations(document)]
    assert len(names) == len({*names})
    assert {tag["name"] for tag in document["tags"]} == {dialect.name for dialect in registry.served()} | {"monitoring"}


def test_schemas_are_valid(document: Document):
    for operation in operations(document):
        bodies = operation.fields.get("requestBody", {}).get("content", {}).values()
        for schema in [body["schema"] for body in bodies]:
            Draft202012Validator.check_schema(schema)


def test_monitoring_is_complete():
    assert DOCS.keys() - {"/", "/docs"} == MONITORING.keys()
    assert OF_PIPELINE.keys() - {""} == {*MONITORING_OF_PIPELINE}


def test_it_has_every_path_of_every_dialect(document: Document):
    for dialect in registry.served():
        for endpoint in dialect.endpoints:
            assert endpoint.method.lower() in document["paths"].get(endpoint.path, {}), endpoint.path
        for resource in dialect.resources:
            if resource.doc(None) is not None:
                assert {method.lower() for method in resource.methods} <= document["paths"][resource.path].keys()


async def test_every_example_is_answered_as_documented(http: httpx.AsyncClient, document: Document):
    answered = set()
    for operation in operations(document):
        for kind, pipeline, value in operation.examples():
            body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            path = filled(operation, pipeline=pipeline)
            reply = await http.request(operation.method, path, content=body, headers={"content-type": kind})
            assert reply.status_code == 200, (path, value, reply.text)
            check_answer(document, operation, reply)
            schema = operation.fields["requestBody"]["content"][kind]["schema"]
            Draft202012Validator(schema).validate(value)
            assert reply.headers["x-pipeline"] == pipeline
            answered.add(path)
    assert {f"/pipelines/{task}" for task in TASKS} <= answered


async def test_what_needs_no_body_is_answered_as_documented(http: httpx.AsyncClient, document: Document):
    for operation in operations(document):
        if operation.method == "GET":
            reply = await http.get(filled(operation))
            assert reply.status_code == 200 or "{" in operation.path, operation.path
            check_answer(document, operation, reply)


async def test_a_head_is_answered(http: httpx.AsyncClient, document: Document):
    reply = await http.head("/openapi.json")
    assert (reply.status_code, reply.content) == (200, b"")
    assert int(reply.headers["content-length"]) > 100_000


def test_what_a_model_cannot_do_is_not_there():
    base = FakePipeline("text-generation", chat=False).description
    idle: Any = SimpleNamespace(
        catalog=Catalog([PipelineSpec("base", Conf())]), conf=Conf(), description=lambda name: base
    )
    paths = document_of(idle, "")["paths"]
    assert "/v1/chat/completions" not in paths
    body = paths["/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert not Draft202012Validator(body).is_valid({"inputs": [{"role": "user", "content": "a text"}]})
    assert Draft202012Validator(body).is_valid({"inputs": ["a text"]})


def test_parameters_are_those_of_the_task(document: Document):
    for name, task in TASKS.items():
        body = document["paths"][f"/pipelines/{name}"]["post"]["requestBody"]["content"]["application/json"]
        properties = body["schema"]["properties"]["parameters"]["properties"]
        assert properties.keys() - {*task.parameters, task.more_parameters} <= {"details"}
        for parameter, known in task.parameters.items():
            assert properties[parameter] == known.kind.schema() | {"description": known.meaning}


def test_every_error_is_documented_with_the_status_that_the_dialect_gives_it(document: Document):
    responses = document["paths"]["/"]["post"]["responses"]
    unread = {499, 405}
    statuses = {kind.status for kind in InferenceError.__subclasses__() if kind.__module__ == "inference.errors"}
    assert responses.keys() == {"200", "429", *map(str, statuses - unread)}
    described = document["components"]["responses"]["native_503"]
    assert described["description"].endswith(": overloaded, draining, loading, not_loaded, worker_lost")
    assert {"x-request-id", "retry-after"} <= described["headers"].keys()


async def test_errors_are_as_documented(http: httpx.AsyncClient, document: Document):
    [post] = [each for each in operations(document) if each[:2] == ("POST", "/")]
    for body, status in ((b"", 400), (b'{"inputs": 3}', 422), (b'{"inputs": "no mask"}', 422)):
        reply = await http.post("/", content=body)
        assert reply.status_code == status
        check_answer(document, post, reply)


def test_an_endpoint_is_there_for_the_pipelines_that_it_serves(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_dialects", [*registry.served(), ToyDialect()])
    described = document_of(service, "/inference")
    assert described["servers"] == [{"url": "/inference"}]

    of_texts = [name for name in service.catalog.names if TASKS.get(name, TASKS["fill-mask"]).output == "text"]
    paths = [path for path in described["paths"] if path.endswith("/toy/")]
    assert paths == [f"/pipelines/{name}/toy/" for name in of_texts], (
        "of the default one, which fills masks, there is none"
    )
    of_any = described["paths"]["/toy/of/{pipeline}"]["post"]
    assert [each["schema"].get("enum") for each in of_any["parameters"]] == [of_texts, None]
    assert of_any["requestBody"]["content"]["text/plain"]["examples"].keys() == {*of_texts}
    refused = described["components"]["responses"]["toy_503"]
    assert refused["content"] == {"text/x-toy": {"schema": {"$ref": "#/components/schemas/toy_error"}}}


def test_a_pipeline_that_no_worker_has_described_is_that_of_the_catalog():
    catalog = Catalog([PipelineSpec("words", Conf(task="fill-mask")), PipelineSpec("any", Conf())])
    idle: Any = SimpleNamespace(catalog=catalog, conf=Conf(), description=lambda name: None)
    described = document_of(idle, "")
    words, unknown = (described["paths"][f"/pipelines/{name}"]["post"] for name in catalog.names)
    [(_, _, example), _] = Operation("POST", "", words).examples()
    assert "[MASK]" in example["inputs"]
    assert unknown["summary"] == "Run the pipeline"
    assert not [*Operation("POST", "", unknown).examples()]


def test_with_keys_every_operation_but_health_wants_one():
    catalog = Catalog([PipelineSpec("words", Conf(task="fill-mask"))])
    keyed: Any = SimpleNamespace(catalog=catalog, conf=Conf(access="keys"), description=lambda name: None)
    described = document_of(keyed, "")
    openapi_spec_validator.validate(described)
    assert described["security"] == [{"bearer": []}, {"header": []}]
    assert described["components"]["securitySchemes"].keys() == {"bearer", "header"}
    free = sorted(path for path, each in described["paths"].items() if each.get("get", {}).get("security") == [])
    assert free == ["/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"]
    assert {"401", "403", "429"} <= described["paths"]["/v1/models"]["get"]["responses"].keys()
    commands = [body.requests for _, of_tag in by_tag(described, "http://a") for each in of_tag for body in each.bodies]
    assert all(command.startswith(KEYED) for requests in commands for command in requests)
    open_: Any = SimpleNamespace(catalog=catalog, conf=Conf(), description=lambda name: None)
    assert "security" not in document_of(open_, "")
