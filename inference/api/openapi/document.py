"""The whole document."""

from functools import lru_cache
from typing import Any

from inference import __version__
from inference.api.dialects import registry
from inference.api.dialects.base import Dialect
from inference.api.openapi import monitoring
from inference.api.openapi.operations import Operation, operations
from inference.api.openapi.pipelines import Pipeline
from inference.api.openapi.responses import error_components, header_components
from inference.serving.deployment import Deployment

Document = dict[str, Any]

DESCRIPTION = (
    "The paths of all dialects are also below /pipelines/{pipeline}, where they are those of one pipeline. "
    "Errors say what is wrong and what would be right."
)
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a key of this server"},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "the same key"},
}
"""Of which a request needs one."""


def document(deployment: Deployment, prefix: str) -> Document:
    """Of what is served now, below a path such as ``/inference``, or an empty text."""
    described = tuple(
        Pipeline(spec.name, description.task, description.mask_token, description.chat)
        if (description := deployment.description(spec.name))
        else Pipeline(spec.name, spec.conf.task)
        for spec in sorted(deployment.catalog, key=lambda spec: spec is not deployment.catalog.default)
    )
    general_first = sorted(registry.served(), key=lambda dialect: min(map(len, dialect.prefixes)))
    rest = _document(described, deployment.conf.max_deadline_s, tuple(general_first))
    document = {"openapi": "3.1.1", "servers": [{"url": prefix or "/"}], **rest}
    if deployment.conf.access == "keys":
        document["security"] = [{name: []} for name in SECURITY_SCHEMES]
        document["components"] = rest["components"] | {"securitySchemes": SECURITY_SCHEMES}
    return document


@lru_cache(maxsize=4)
def _document(pipelines: tuple[Pipeline, ...], longest_s: float, dialects: tuple[Dialect, ...]) -> Document:
    """Without the servers.

    Args:
        pipelines: the default one first.
    """
    found = [each for dialect in dialects for each in operations(dialect, pipelines, longest_s)]
    found += monitoring.operations(registry.of_path("/"), pipelines)
    paths: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    for operation in found:
        fields = {"operationId": _id(operation, used), "tags": [operation.tag], **operation.fields}
        paths.setdefault(operation.path, {})[operation.method.lower()] = fields
    schemas, responses = error_components(dialects)
    return {
        "info": {"title": "Inference server", "version": __version__, "description": DESCRIPTION},
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in found)],
        "paths": paths,
        "components": {
            "schemas": schemas | monitoring.schema_components(),
            "responses": responses,
            "headers": header_components(),
        },
    }


def _id(operation: Operation, used: set[str]) -> str:
    """A name for it that generated clients can have, and that no other has."""
    words = "".join(each if each.isalnum() else " " for each in f"{operation.tag} {operation.method} {operation.path}")
    name = "_".join(words.lower().split())
    while name in used:
        name += "_"
    used.add(name)
    return name
