"""Runs in web processes: the dialect of ``/embed``, ``/predict``, ``/similarity`` and ``/rerank``.

In and out: the JSON of text-embeddings-inference, https://huggingface.github.io/text-embeddings-inference; at
``/rerank`` also that of ``inference.api.dialects.rerank``.
"""

from collections.abc import Callable, Mapping

import msgspec

from inference.api.dialects.base import Endpoint, Reply, Resource, Socket
from inference.api.dialects.json_endpoint import json_headers, status_of
from inference.api.dialects.tei.embed import Embed
from inference.api.dialects.tei.predict import Predict
from inference.api.dialects.tei.rerank import Rerank
from inference.api.dialects.tei.similarity import Similarity
from inference.errors import EmptyInput, InferenceError, InferenceFailed, Overloaded
from inference.serving.context import RequestContext
from inference.tasks.outputs import STRING
from inference.tasks.schemas import fields

BACKEND_FAILED = 424


class TEIDialect:
    name = "tei"
    prefixes = ("/embed/", "/predict/", "/similarity/", "/rerank/")
    endpoints: tuple[Endpoint, ...] = (Embed(), Predict(), Similarity(), Rerank())
    resources: tuple[Resource, ...] = ()
    sockets: Mapping[str, Callable[[], Socket]] = {}
    error_schema = fields(error=STRING, error_type=STRING)

    def error(self, context: RequestContext, error: InferenceError) -> Reply:
        status = BACKEND_FAILED if isinstance(error, InferenceFailed) else status_of(error)
        body = msgspec.json.encode({"error": error.message, "error_type": _type(error)})
        return Reply(status, json_headers(context, error.retry_after_s), body)


def _type(error: InferenceError) -> str:
    """One of those that it has."""
    if isinstance(error, EmptyInput):
        return "Empty"
    if isinstance(error, Overloaded):
        return "Overloaded"
    if error.status < 500:
        return "Validation"
    return "Unhealthy" if error.status == 503 else "Backend"


DIALECT = TEIDialect()
