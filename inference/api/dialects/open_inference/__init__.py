"""Runs in web processes: the Open Inference Protocol, as Triton, KServe and MLServer speak it, below ``/v2``.

In: tensors in JSON or as bytes. Out: a tensor with the pipeline's answers; metadata, readiness and the index of models.
https://github.com/kserve/open-inference-protocol
"""

from collections.abc import Callable, Mapping

from inference.api.dialects.base import Reply, Socket
from inference.api.dialects.open_inference.docs import ERROR
from inference.api.dialects.open_inference.http import ENDPOINTS
from inference.api.dialects.open_inference.replies import write_error
from inference.api.dialects.open_inference.resources import RESOURCES
from inference.errors import InferenceError
from inference.serving.context import RequestContext


class OpenInferenceDialect:
    name = "open-inference"
    prefixes = ("/v2/",)
    endpoints = ENDPOINTS
    resources = RESOURCES
    sockets: Mapping[str, Callable[[], Socket]] = {}
    error_schema = ERROR

    def error(self, context: RequestContext, error: InferenceError) -> Reply:
        return write_error(context, error)


DIALECT = OpenInferenceDialect()
