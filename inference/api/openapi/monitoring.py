"""The paths for probes, Prometheus and people."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from inference.api.dialects.base import Dialect
from inference.api.dialects.doc import JSON, Doc
from inference.api.openapi.operations import Operation, Place, described, responses
from inference.api.openapi.pipelines import Pipeline
from inference.api.openapi.responses import OF_MONITORING, error_references
from inference.api.scope import PIPELINES
from inference.serving.pipeline_state import PipelineState
from inference.tasks.outputs import STRING
from inference.tasks.schemas import Schema, fields, items

TAG = "monitoring"
HTML = "text/html"

_STATE: Schema = {"$ref": "#/components/schemas/PipelineState"}
_HEALTH: Schema = {
    "type": "object",
    "properties": {
        "status": STRING,
        "reason": STRING,
        "warning": STRING,
        "pipelines": {"type": "object", "additionalProperties": fields("reason", status=STRING, reason=STRING)},
    },
    "required": ["status"],
}
_READY = Doc(
    summary="Would a request be served now?",
    description="503 if not, with the reason. Of several pipelines, one that would is enough.",
    answers={JSON: _HEALTH},
    failures={503: _HEALTH},
)
_LIVE = Doc(summary="Does the process answer?", answers={JSON: _HEALTH})
_STATES = Doc(summary="What is served", answers={JSON: fields(default=STRING, pipelines=items(_STATE))})
_PAGE = Doc(summary="A page: what is served, and how to ask", answers={HTML: STRING})

DOCS = {
    "/": _PAGE,
    "/health": replace(_READY, without_key=True),
    "/health/live": replace(_LIVE, without_key=True),
    "/health/ready": replace(_READY, without_key=True),
    "/info": _STATES,
    "/metrics": Doc(summary="Figures in Prometheus' format", answers={"text/plain": STRING}),
    "/openapi.json": Doc(summary="This document", answers={JSON: {"type": "object"}}),
    "/docs": Doc(summary="This document as a page", answers={HTML: STRING}),
}
"""By path."""
OF_PIPELINE = {
    "": _PAGE,
    "/health": _READY,
    "/health/live": _LIVE,
    "/health/ready": _READY,
    "/info": Doc(summary="What the pipeline serves", answers={JSON: _STATE}),
}
"""By path below that of a pipeline."""


def operations(dialect: Dialect, pipelines: Sequence[Pipeline]) -> Iterator[Operation]:
    """Args: the dialect of their errors."""
    of_pipeline = {f"{PIPELINES}{{pipeline}}{path}": doc for path, doc in OF_PIPELINE.items()}
    errors = error_references(dialect, OF_MONITORING)
    for path, doc in (DOCS | of_pipeline).items():
        place = Place(path, doc, pipelines)
        yield Operation("GET", path, TAG, {**described(place), "responses": responses(doc, errors)})


def schema_components() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([PipelineState], ref_template="#/components/schemas/{name}")
    return dict(components)
