"""Runs in web processes: the dialect of ``/v2/rerank``, which Cohere's clients speak.

In and out: see ``inference.api.dialects.rerank``. An error is a ``message``.
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


class CohereDialect:
    name = "cohere"
    prefixes = ("/v2/rerank/",)
    endpoints: tuple[Endpoint, ...] = (RerankEndpoint("/v2/rerank", documents=False),)
    resources: tuple[Resource, ...] = ()
    sockets: Mapping[str, Callable[[], Socket]] = {}
    error_schema = fields(id=STRING, message=STRING)

    def error(self, context: RequestContext, error: InferenceError) -> Reply:
        body = msgspec.json.encode({"id": context.id, "message": error.message})
        return Reply(status_of(error), json_headers(context, error.retry_after_s), body)


DIALECT = CohereDialect()
