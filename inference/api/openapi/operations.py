"""What the endpoints and resources of a dialect take and give, at each path that they have."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from inference.api.dialects.base import Dialect, Endpoint, Resource
from inference.api.dialects.doc import JSON, Doc, Given
from inference.api.openapi.pipelines import Pipeline
from inference.api.openapi.responses import OF_A_RESOURCE, OF_A_RUN, answer_headers, error_references, response
from inference.api.paths import PIPELINE
from inference.api.scope import PIPELINES

_ARGUMENT = re.compile(r"\{(\w+)\}")


class Operation(NamedTuple):
    method: str
    path: str
    tag: str
    fields: dict[str, Any]
    """All but ``operationId`` and ``tags``."""


class Place(NamedTuple):
    path: str
    doc: Doc
    pipelines: Sequence[Pipeline]
    """That it is for."""


def operations(dialect: Dialect, pipelines: Sequence[Pipeline], longest_s: float) -> Iterator[Operation]:
    """An operation for each pipeline where the path alone names it, otherwise one for all.

    Args:
        pipelines: the default one first.
        longest_s: the longest deadline that a request may set.
    """
    errors, headers = error_references(dialect, OF_A_RUN), answer_headers(dialect)
    for endpoint in dialect.endpoints:
        given = [_deadline(endpoint, longest_s)] if endpoint.deadline_header else []
        in_path = not endpoint.pipeline_in_body and f"{{{PIPELINE}}}" not in endpoint.path
        for place in _for_each(endpoint, pipelines) if in_path else _for_all(endpoint, pipelines):
            fields = {
                **described(place, given),
                **_request_body(endpoint, place),
                "responses": responses(place.doc, errors, headers),
            }
            yield Operation(endpoint.method, place.path, dialect.name, fields)
    errors = error_references(dialect, OF_A_RESOURCE)
    for resource in dialect.resources:
        for place in _for_all(resource, pipelines):
            fields = {**described(place), "responses": responses(place.doc, errors)}
            for method in resource.methods:
                yield Operation(method, place.path, dialect.name, fields)


def described(place: Place, given: Iterable[Given] = ()) -> dict[str, Any]:
    """Summary, description and parameters."""
    doc = place.doc
    own = {each.name: each for each in doc.given}
    arguments = [_argument(name, place) for name in _ARGUMENT.findall(place.path) if name not in own]
    parameters = [
        {
            "name": each.name,
            "in": each.place,
            "description": each.meaning,
            "schema": each.schema,
            **({"required": True} if each.place == "path" else {}),
        }
        for each in (*arguments, *own.values(), *given)
    ]
    fields: dict[str, Any] = {"summary": doc.summary}
    fields |= {"description": doc.description} if doc.description else {}
    fields |= {"security": []} if doc.without_key else {}
    return fields | ({"parameters": parameters} if parameters else {})


def _deadline(endpoint: Endpoint, longest_s: float) -> Given:
    schema = {"type": "number", "exclusiveMinimum": 0, "maximum": longest_s}
    return Given(endpoint.deadline_header.decode(), "header", schema, "seconds after which the request is given up")


def _for_each(endpoint: Endpoint, pipelines: Sequence[Pipeline]) -> Iterator[Place]:
    """At its own path that of the default pipeline, and below the path of each."""
    below = endpoint.path if endpoint.path != "/" else ""
    paths = [(endpoint.path, pipelines[0]), *((f"{PIPELINES}{each.name}{below}", each) for each in pipelines)]
    for path, pipeline in paths:
        if (doc := endpoint.doc(pipeline.task)) is not None:
            yield Place(path, doc, [pipeline])


def _for_all(source: Endpoint | Resource, pipelines: Sequence[Pipeline]) -> Iterator[Place]:
    """Once, if there is a pipeline for it."""
    fitting = [pipeline for pipeline in pipelines if source.doc(pipeline.task) is not None]
    tasks = {pipeline.task_name for pipeline in fitting}
    if fitting and (doc := source.doc(fitting[0].task if len(tasks) == 1 else None)) is not None:
        yield Place(source.path, doc, fitting)


def _argument(name: str, place: Place) -> Given:
    if name != PIPELINE:
        return Given(name, "path", {"type": "string"}, "")
    names = [pipeline.name for pipeline in place.pipelines]
    return Given(name, "path", {"type": "string", "enum": names}, "name of a pipeline")


def _request_body(endpoint: Endpoint, place: Place) -> dict[str, Any]:
    content = {}
    for kind, body in place.doc.bodies.items():
        field, schema = place.doc.pipeline_field, body.schema
        if field in (properties := schema.get("properties", {})):
            names = [pipeline.name for pipeline in place.pipelines]
            schema = schema | {"properties": properties | {field: properties[field] | {"enum": names}}}
        else:
            field = ""
        examples = dict(_examples(endpoint, place, kind, field))
        content[kind] = {"schema": schema, **({"examples": examples} if examples else {})}
    return {"requestBody": {"required": True, "content": content}} if content else {}


def _examples(endpoint: Endpoint, place: Place, kind: str, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """By the name of a pipeline that answers it; one for each task."""
    first = {pipeline.task_name: pipeline for pipeline in reversed(place.pipelines)}
    for pipeline in sorted(first.values(), key=place.pipelines.index):
        doc = endpoint.doc(pipeline.task)
        body = doc.bodies.get(kind) if doc else None
        if pipeline.task is not None and body is not None and body.example is not None:
            yield pipeline.name, {"value": {field: pipeline.name} | body.example if field else body.example}


def responses(doc: Doc, errors: dict[str, Any], headers: Iterable[str] = ()) -> dict[str, Any]:
    failures = {str(status): response("Not now", {JSON: schema}) for status, schema in doc.failures.items()}
    return {"200": response("The answer", doc.answers, headers), **errors, **failures}
