"""The operations of an OpenAPI document, as the page shows them."""

import json
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from inference.pages.schema_words import Row, in_words, rows

OF_MEDIA = {"image/*": "photo.jpg", "audio/*": "speech.wav"}
"""What a reader has in the place of an example."""
FORM = "multipart/form-data"
KEYED = 'curl -H "Authorization: Bearer $KEY"'
"""Where callers need a key."""


class Body(NamedTuple):
    type: str
    kind: str
    rows: list[Row]
    requests: list[str]
    """As commands."""


class Operation(NamedTuple):
    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Row]
    bodies: list[Body]
    request: str
    """As a command, where there is no body."""
    answers: list[tuple[str, str, str]]
    """Status, meaning, content."""


def by_tag(document: dict[str, Any], address: str) -> list[tuple[str, list[Operation]]]:
    """Args: the address of the server, for commands."""
    tags: dict[str, list[Operation]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, fields in methods.items():
            shown = _operation(document, address, method.upper(), path, fields)
            tags[fields["tags"][0]].append(shown)
    return list(tags.items())


def _operation(document: dict[str, Any], address: str, method: str, path: str, fields: dict[str, Any]) -> Operation:
    parameters = fields.get("parameters", [])
    keyed = fields.get("security", document.get("security"))

    def with_key(command: str) -> str:
        return command.replace("curl", KEYED, 1) if keyed else command

    bodies = [
        Body(
            kind,
            "the file itself" if kind in OF_MEDIA else in_words(body["schema"]),
            list(rows(body["schema"])),
            [with_key(each) for each in _requests(address, path, parameters, kind, body)],
        )
        for kind, body in fields.get("requestBody", {}).get("content", {}).items()
    ]
    return Operation(
        id=fields["operationId"],
        method=method,
        path=path,
        summary=fields["summary"],
        description=fields.get("description", ""),
        parameters=[
            Row(each["name"], in_words(each["schema"]), each.get("required", False), each["description"])
            for each in parameters
        ],
        bodies=bodies,
        request="" if bodies else with_key(f"curl -X {method} {_url(address, path, parameters)}"),
        answers=[_answer(document, status, answer) for status, answer in sorted(fields["responses"].items())],
    )


def _requests(
    address: str, path: str, parameters: list[dict[str, Any]], kind: str, body: dict[str, Any]
) -> Iterator[str]:
    url = _url(address, path, parameters)
    if file := OF_MEDIA.get(kind):
        yield f"curl {url} --data-binary @{file}"
    if kind == FORM:
        fields = body["schema"]["properties"]
        files = (f"{name}=@{OF_MEDIA[each['contentMediaType']]}" for name, each in fields.items() if _is_file(each))
        model, *_ = fields["model"]["enum"]
        yield " -F ".join([f"curl {url}", *files, f"model={model}"])
    for pipeline, example in body.get("examples", {}).items():
        value = example["value"]
        data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        url = _url(address, path.replace("{pipeline}", pipeline), parameters)
        yield f"curl {url} -H 'Content-Type: {kind}' -d {shlex.quote(data)}"


def _is_file(schema: dict[str, Any]) -> bool:
    return schema.get("contentMediaType") in OF_MEDIA


def _url(address: str, path: str, parameters: list[dict[str, Any]]) -> str:
    """For a shell; parameters in the path have the first of their values, where the document names some."""
    for each in parameters:
        schema = each["schema"]
        if each["in"] == "path" and (values := schema.get("enum", schema.get("examples"))):
            path = path.replace(f"{{{each['name']}}}", values[0])
    return shlex.quote(address + path)


def _answer(document: dict[str, Any], status: str, answer: dict[str, Any]) -> tuple[str, str, str]:
    if reference := answer.get("$ref"):
        answer = document["components"]["responses"][reference.rpartition("/")[2]]
    contents = [f"{kind}: {in_words(content['schema'])}" for kind, content in answer["content"].items()]
    return status, answer["description"], "; ".join(contents)
