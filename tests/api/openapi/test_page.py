"""The page ``/docs``, and the words that it has for schemas."""

import base64
import html
import re
import shlex
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from inference.pages import assets
from inference.pages.schema_words import in_words, rows
from inference.tasks.media import EXAMPLE_RECORDING
from inference.testing import FakePipeline, running
from inferencesite.asgi import application

FAKES = {
    "chat": FakePipeline("text-generation"),
    "labels": FakePipeline("zero-shot-classification", answer={"sequence": "", "labels": ["it's"], "scores": [1.0]}),
    "photos": FakePipeline("object-detection"),
    "speech": FakePipeline("automatic-speech-recognition"),
    "vectors": FakePipeline("feature-extraction"),
}
"""Beside the default one, which fills masks."""


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=application)
    with running(FakePipeline(), pipelines=FAKES):
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as opened:
            yield opened


async def test_every_operation_is_on_the_page(http: httpx.AsyncClient):
    reply = await http.get("/docs")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert re.findall("<script[^>]*>", reply.text) == [f'<script type="module" src="{assets.path()}/docs.js">']
    document = (await http.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            [shown] = re.findall(f'<details id="{operation["operationId"]}">(.*?)</details>', reply.text, re.DOTALL)
            assert f"<b>{method.upper()}</b> <code>{html.escape(path)}</code>" in shown
    assert "<td><code>parameters.max_new_tokens</code></td><td>integer from 1 to 4096</td>" in reply.text
    assert 'href="/docs"' in (await http.get("/")).text


async def test_the_commands_on_the_page_work(http: httpx.AsyncClient):
    page = (await http.get("/docs")).text
    asked = set()
    for command in re.findall(r'<pre tabindex="0">(.*?)</pre>', page, re.DOTALL):
        program, *words = shlex.split(html.unescape(command))
        assert program == "curl"
        if not any(part in command for part in ("@photo.jpg", "--data-binary @speech.wav", "{model}")):
            sent = request(words)
            reply = await http.request(**sent)
            assert reply.status_code == 200, (command, reply.text)
            asked.add(sent["url"].removeprefix("http://localhost"))
    assert {"/", "/info", "/v1/chat/completions", "/embed", "/v2/models/photos/infer"} <= asked
    assert "/v1/audio/transcriptions" in asked
    assert {f"/pipelines/{name}" for name in FAKES} <= asked


def request(words: list[str]) -> dict[str, Any]:
    """What httpx is to send in the place of curl."""
    match words:
        case ["-X", method, url]:
            return {"method": method, "url": url}
        case [url, "-F", "file=@speech.wav", "-F", model]:
            recording = base64.b64decode(EXAMPLE_RECORDING)
            return {"method": "POST", "url": url, "files": {"file": recording}, "data": dict([model.split("=")])}
        case [url, "-H", header, "-d", body]:
            name, _, value = header.partition(": ")
            return {"method": "POST", "url": url, "headers": {name: value}, "content": body}
    raise AssertionError(words)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "any"),
        ({"type": "string"}, "text"),
        ({"type": "string", "maxLength": 3}, "text of at most 3 characters"),
        ({"type": "string", "contentEncoding": "base64"}, "base64"),
        ({"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, "integer from 0 to 2147483647"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, "number above 0 to 0.5"),
        ({"enum": ["a", True, None]}, "one of a, true, null"),
        ({"const": "a"}, "a"),
        ({"type": ["string", "null"]}, "text or null"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"type": "array", "items": {"type": "boolean"}, "maxItems": 4}, "[boolean, …] (at most 4)"),
        ({"type": "array"}, "[any, …]"),
        ({"type": "object"}, "object"),
        ({"type": "object", "properties": {"a": {}, "b": {}}}, "{a, b}"),
        ({"$ref": "#/components/schemas/native_error"}, "native_error"),
    ],
)
def test_schemas_in_words(schema: dict[str, Any], words: str):
    assert in_words(schema) == words


def test_fields_of_objects_within_objects_have_rows():
    inner = {"type": "object", "properties": {"b": {"type": "integer", "description": "how many"}}, "required": ["b"]}
    assert [*rows({"type": "object", "properties": {"a": inner}})] == [
        ("a", "object", False, ""),
        ("a.b", "integer", True, "how many"),
    ]
