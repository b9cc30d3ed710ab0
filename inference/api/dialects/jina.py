"""Runs in web processes: the dialect of ``/v1/rerank``, which Jina's clients speak.

In and out: see ``inference.api.dialects.rerank``. An error is a ``detail``.
"""

from collections.abc import Callable, Mapping

import msgspec

from inference.api.dialects.base import Endpoint, Reply, Resource, Socket
from inference.api.dialects.json_endpoint import json_headers, status_of
from inference.api.dialects.rerank import RerankEndpoint
from inference.errors import InferenceError
from inference.serving.context import RequestContext
from inference.tasks.outputs import STRING
from inference.tasks.schemas import fields


class JinaDialect:
    name = "jina"
    prefixes = ("/v1/rerank/",)
    endpoints: tuple[Endpoint, ...] = (RerankEndpoint("/v1/rerank", documents=True),)
    resources: tuple[Resource, ...] = ()
    sockets: Mapping[str, Callable[[], Socket]] = {}
    error_schema = fields(detail=STRING)

    def error(self, context: RequestContext, error: InferenceError) -> Reply:
        body = msgspec.json.encode({"detail": error.message})
        return Reply(status_of(error), json_headers(context, error.retry_after_s), body)


DIALECT = JinaDialect()
